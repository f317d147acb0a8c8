"""Decisions that wait for their truth: a bounded ledger, joined by request id and row.

A label is counted once. A request that is delivered twice is one decision: the first one.

What is remembered of a decision stands in columns, in a ring: 66 bytes a row whatever its request's id, which clients
choose, and nothing for a garbage collector to walk through. An id is known by its 64 bits of Python's keyed hash, which
another one of a full ring has with a chance of one in 10^13. Ids are found as zlib finds matches in its window: a table
of the youngest place of each hash, and for each place the next older one. A place that has been written over is older
than the ring is long; it ends its chain, so that forgetting costs nothing.
"""

from __future__ import annotations

import math
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from reference_service.audit.records import Decision
from reference_service.core.evidence import ASIDE, DECIDED, REFUSED, settle
from reference_service.guards.exploration import propensity

Verdict = Literal["accepted", "duplicate", "unknown"]
_UNLABELLED: Final = 255
_NEVER: Final = 0  # older than any place
_HEURISTIC: Final = "fallback"
_STARTS: Final = 4  # intervals that decisions are counted by at once; there are two at most ticks


class Remembered(NamedTuple):
    """What the ledger knows of one row's answer."""

    at_ns: int
    score: float | None  # None: the row was refused
    group: float  # as encoded, -1 of none
    crowd: int  # of customers, in a split of versions; 0 of none
    version: str
    decision: str
    source: str
    propensity: float  # with which probability a decision like it was allowed


def by_model(made: Remembered) -> bool:
    """Whether it says something of the quality of a model, whichever arm's: a fallback is a heuristic's word."""
    return made.score is not None and made.source != _HEURISTIC


class Ledger:
    """A ring of decisions; the oldest make room.

    Args:
        capacity: rows.
    """

    __slots__ = ("_at_ns", "_buckets", "_capacity", "_crowds", "_first", "_groups", "_ids", "_kinds", "_labels",
                 "_mask", "_next", "_older", "_rows", "_said", "_scores", "_told", "_word_of", "_words")  # fmt: skip

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._next = capacity + 1  # places ever used begin here; a place's slot is this modulo capacity
        self._told = self._next  # those before were fresh once
        self._first = _NEVER  # place of the first row of the request that is being set down
        self._mask = (1 << capacity.bit_length()) - 1
        self._buckets = _column(self._mask + 1, np.int64)  # bits of a hash → youngest place
        self._older = _column(capacity, np.int64)  # the next older place of the same bits
        self._ids = _column(capacity, np.int64)  # hash, at the first row of a request
        self._rows = _column(capacity, np.int32)  # of the request
        self._at_ns = _column(capacity, np.int64)
        self._scores = _column(capacity, np.float64)  # NaN: refused
        self._groups = _column(capacity, np.float64)
        self._said = _column(capacity, np.int32)  # index into the words
        self._labels = _column(capacity, np.uint8)
        self._crowds = _column(capacity, np.uint8)
        self._words: list[tuple[str, str, str, float]] = []  # version to propensity of `Remembered`: few are different
        self._kinds = np.empty(0, dtype=np.int8)  # of each, as `settle` has them
        self._word_of: dict[tuple[str, str, str, float], int] = {}

    def __len__(self) -> int:
        return min(self._next - self._capacity - 1, self._capacity)

    def add(self, decision: Decision, group: float = -1.0, crowd: int = 0) -> None:
        """One row; the rows of a request follow each other, the first one first. `group`: as encoded, -1 of none."""
        place, capacity = self._next, self._capacity
        slot = place % capacity
        if decision.row == 0:
            mark = hash(decision.id)
            youngest = self._buckets[mark & self._mask]
            if self._search(youngest, mark):
                self._first = _NEVER
                return  # delivered twice
            self._first = place
        elif self._first != place - decision.row:
            return  # a further row of a request that was delivered twice
        reasons = decision.reasons
        words = decision.version, decision.decision, decision.source, propensity(reasons) if reasons else 1.0
        said = self._word_of.get(words)
        if said is None:
            said = self._word_of[words] = len(self._words)
            self._words.append(words)
            self._kinds = np.append(self._kinds, np.int8(_kind(words)))
        self._said[slot] = said
        self._at_ns[slot] = decision.at_ns
        self._scores[slot] = math.nan if decision.score is None else decision.score
        self._groups[slot] = group
        self._labels[slot] = _UNLABELLED
        self._crowds[slot] = crowd
        self._rows[slot] = decision.rows
        self._next = place + 1
        if decision.row == 0:  # found from now on
            self._ids[slot] = mark
            self._older[slot] = youngest
            self._buckets[mark & self._mask] = place

    def decided(self, width_ns: int) -> dict[int, tuple[int, int]]:
        """What models decided since the last call, but for what had to make room meanwhile.

        Start of the interval, of that width, in which it was → how often, and how often they refused (a refusal that
        was allowed at random included).
        """
        since, self._told = max(self._told, self._next - self._capacity), self._next
        at_ns, scores, said = self._at_ns.obj, self._scores.obj, self._said.obj  # the arrays that are viewed
        counts: dict[int, tuple[int, int]] = {}
        while since < self._next:
            found = np.zeros((_STARTS, 3), dtype=np.int64)
            since = settle(at_ns, scores, said, self._kinds, since, self._next, width_ns, found)
            for start, n, refused in found.tolist():
                if n:
                    before = counts.get(start, (0, 0))
                    counts[start] = before[0] + n, before[1] + refused
        return counts

    def find(self, request_id: str, row: int) -> Remembered | None:
        """The decision on a row, if it is remembered."""
        slot = self._slot(request_id, row)
        return None if slot is None else self._remembered(slot)

    def known(self, request_id: str, row: int) -> int | None:
        """The label of a row, None while it is not known, or if the row is forgotten."""
        slot = self._slot(request_id, row)
        if slot is None:
            return None
        found = self._labels[slot]
        if slot != self._slot(request_id, row):
            return None  # whoever learns asks from a thread: requests go on, and it has been written over meanwhile
        return None if found == _UNLABELLED else found

    def label(self, request_id: str, row: int, label: int) -> tuple[Verdict, Remembered | None]:
        """Attach a label; with it comes the decision that it is about. What was refused or forgotten is unknown."""
        slot = self._slot(request_id, row)
        if slot is None or math.isnan(self._scores[slot]):
            return "unknown", None
        if self._labels[slot] != _UNLABELLED:
            return "duplicate", None
        self._labels[slot] = label
        return "accepted", self._remembered(slot)

    def _remembered(self, slot: int) -> Remembered:
        score = self._scores[slot]
        words = self._words[self._said[slot]]
        return Remembered(
            self._at_ns[slot], None if math.isnan(score) else score, self._groups[slot], self._crowds[slot], *words
        )

    def _slot(self, request_id: str, row: int) -> int | None:
        mark = hash(request_id)
        first = self._search(self._buckets[mark & self._mask], mark)
        if not first or not 0 <= row < self._rows[first % self._capacity]:
            return None
        return (first + row) % self._capacity

    def _search(self, place: int, mark: int) -> int:
        """The place of that hash among this one and the older ones of its bucket; `_NEVER` if it is not there."""
        capacity, oldest = self._capacity, self._next - self._capacity
        while place >= oldest:
            slot = place % capacity
            if self._ids[slot] == mark:
                return place
            place = self._older[slot]
        return _NEVER


def _kind(words: tuple[str, str, str, float]) -> int:
    _, decision, source, chance = words
    if source == _HEURISTIC:
        return ASIDE
    return REFUSED if decision == "block" or chance < 1 else DECIDED


def _column(length: int, kind: type[np.generic]) -> Any:
    """Zeros, of pages that are touched as the ring fills; as a view, whose single values cost a third of an array's."""
    return np.zeros(length, dtype=kind).data

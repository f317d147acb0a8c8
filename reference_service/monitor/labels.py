"""Decisions that wait for their truth: a bounded ledger, joined by request id and row.

A label is counted once. A request that is delivered twice is one decision: the first one.

What is remembered of a decision stands in a ring: 64 bytes a row whatever its request's id, which clients choose, and
nothing for a garbage collector to walk through. They are one line of the processor's cache: labels come for decisions
that nobody has touched for days, and each line costs a wait. An id is known by its 64 bits of Python's keyed hash,
which another one of a full ring has with a chance of one in 10^13. Ids are found as zlib finds matches in its window:
a table of the youngest place of each hash, 16 bytes a row at the most, and for each place the next older one. A place
that has been written over is older than the ring is long; it ends its chain, so that forgetting costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

import numpy as np

from reference_service.audit.records import Decision
from reference_service.core.evidence import ASIDE, AT_NS, DECIDED, LINE, REFUSED, SAID, SCORE, settle
from reference_service.guards.exploration import propensity

Verdict = Literal["accepted", "duplicate", "unknown"]
_UNLABELLED: Final = 255
_NEVER: Final = 0  # older than any place
_HEURISTIC: Final = "fallback"
_OLDER: Final = 1  # of the words of a line, after the hash of the id; both stand at the first row of a request
_GROUP: Final = 4  # float64
_ROWS: Final = 6  # of the request
_LABEL: Final = 7
NOTHING_DECIDED: Final[Mapping[int, tuple[int, int]]] = MappingProxyType({})
_MANY: Final = 4096  # decisions that do not wait for the end of an interval to be counted
_STARTS: Final = 4  # intervals that decisions are counted by at once; there are two at most ticks


class Remembered(NamedTuple):
    """What the ledger knows of one row's answer."""

    at_ns: int
    score: float | None  # None: the row was refused
    group: float  # as encoded, -1 of none
    version: str
    decision: str
    source: str
    propensity: float  # with which probability a decision like it was allowed
    crowd: int  # of customers, in a split of versions; 0 of none


def by_model(made: Remembered) -> bool:
    """Whether it says something of the quality of a model, whichever arm's: a fallback is a heuristic's word."""
    return made.score is not None and made.source != _HEURISTIC


class Ledger:
    """A ring of decisions; the oldest make room.

    Args:
        capacity: rows.
    """

    __slots__ = ("_buckets", "_capacity", "_first", "_kinds", "_lines", "_mask", "_next", "_numbers", "_told",
                 "_told_in", "_word_of", "_words")  # fmt: skip

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._next = capacity + 1  # places ever used begin here; a place's slot is this modulo capacity
        self._told = self._next  # those before have been told
        self._told_in = -1  # the interval in which they were
        self._first = _NEVER  # place of the first row of the request that is being set down
        self._mask = (1 << capacity.bit_length()) - 1
        # Zeros, of pages that are touched as the ring fills; as views, whose single values cost a third of an array's.
        self._buckets = np.zeros(self._mask + 1, np.int64).data  # bits of a hash → youngest place
        lines = _lines(capacity)
        self._lines, self._numbers = lines.data, _numbers(lines)
        self._words: list[tuple[str, str, str, float, int]] = []  # version to crowd of `Remembered`: few are different
        self._kinds = np.empty(0, dtype=np.int8)  # of each, as `settle` has them
        self._word_of: dict[tuple[str, str, str, float, int], int] = {}

    def __len__(self) -> int:
        return min(self._next - self._capacity - 1, self._capacity)

    def add(self, decision: Decision, group: float = -1.0, crowd: int = 0) -> None:
        """One row; the rows of a request follow each other, the first one first. `group`: as encoded, -1 of none."""
        place, lines, numbers = self._next, self._lines, self._numbers
        line = place % self._capacity * LINE
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
        words = decision.version, decision.decision, decision.source, propensity(reasons) if reasons else 1.0, crowd
        said = self._word_of.get(words)
        if said is None:
            said = self._word_of[words] = len(self._words)
            self._words.append(words)
            self._kinds = np.append(self._kinds, np.int8(_kind(words)))
        lines[line + AT_NS] = decision.at_ns
        numbers[line + SCORE] = math.nan if decision.score is None else decision.score
        numbers[line + _GROUP] = group
        lines[line + SAID] = said
        lines[line + _ROWS] = decision.rows
        lines[line + _LABEL] = _UNLABELLED
        self._next = place + 1
        if decision.row == 0:  # found from now on
            lines[line] = mark
            lines[line + _OLDER] = youngest
            self._buckets[mark & self._mask] = place

    def decided(self, width_ns: int, now_ns: int | None = None) -> Mapping[int, tuple[int, int]]:
        """What models decided since it was last told, but for what had to make room meanwhile.

        Start of the interval, of that width, in which it was → how often, and how often they refused (a refusal that
        was allowed at random included).

        Args:
            width_ns: of an interval.
            now_ns: for who asks every tick: nothing until an interval has ended, or many decisions wait. None: at once.
        """
        if now_ns is not None:
            interval = now_ns // width_ns
            if interval == self._told_in and self._next - self._told < min(_MANY, self._capacity // 2):
                return NOTHING_DECIDED
            self._told_in = interval
        since, self._told = max(self._told, self._next - self._capacity), self._next
        lines, numbers = self._lines.obj, self._numbers.obj  # the arrays that are viewed
        counts: dict[int, tuple[int, int]] = {}
        while since < self._next:
            found = np.zeros((_STARTS, 3), dtype=np.int64)
            since = settle(lines, numbers, self._kinds, since, self._next, width_ns, found)
            for start, n, refused in found.tolist():
                if n:
                    before = counts.get(start, (0, 0))
                    counts[start] = before[0] + n, before[1] + refused
        return counts

    def find(self, request_id: str, row: int) -> Remembered | None:
        """The decision on a row, if it is remembered."""
        line = self._line(request_id, row)
        return None if line is None else self._remembered(line)

    def known(self, request_id: str, row: int) -> int | None:
        """The label of a row, None while it is not known, or if the row is forgotten."""
        line = self._line(request_id, row)
        if line is None:
            return None
        found: int = self._lines[line + _LABEL]
        if line != self._line(request_id, row):
            return None  # whoever learns asks from a thread: requests go on, and it has been written over meanwhile
        return None if found == _UNLABELLED else found

    def label(self, request_id: str, row: int, label: int) -> tuple[Verdict, Remembered | None]:
        """Attach a label; with it comes the decision that it is about. What was refused or forgotten is unknown."""
        line = self._line(request_id, row)
        if line is None or math.isnan(self._numbers[line + SCORE]):
            return "unknown", None
        if self._lines[line + _LABEL] != _UNLABELLED:
            return "duplicate", None
        self._lines[line + _LABEL] = label
        return "accepted", self._remembered(line)

    def _remembered(self, line: int) -> Remembered:
        lines, numbers = self._lines, self._numbers
        score = numbers[line + SCORE]
        words = self._words[lines[line + SAID]]
        return Remembered(lines[line + AT_NS], None if math.isnan(score) else score, numbers[line + _GROUP], *words)

    def _line(self, request_id: str, row: int) -> int | None:
        """Where the line of a row begins."""
        mark = hash(request_id)
        first = self._search(self._buckets[mark & self._mask], mark)
        if not first or not 0 <= row < self._lines[first % self._capacity * LINE + _ROWS]:
            return None
        return (first + row) % self._capacity * LINE

    def _search(self, place: int, mark: int) -> int:
        """The place of that hash among this one and the older ones of its bucket; `_NEVER` if it is not there."""
        capacity, lines, oldest = self._capacity, self._lines, self._next - self._capacity
        while place >= oldest:
            line = place % capacity * LINE
            if lines[line] == mark:
                return place
            place = lines[line + _OLDER]
        return _NEVER


def _kind(words: tuple[str, str, str, float, int]) -> int:
    _, decision, source, chance, _ = words
    if source == _HEURISTIC:
        return ASIDE
    return REFUSED if decision == "block" or chance < 1 else DECIDED


def _lines(capacity: int) -> np.ndarray:
    """int64 zeros of so many rows, each of which begins with a line of the cache."""
    size = 8 * LINE
    room = np.zeros((capacity + 1) * size, np.uint8)
    first = -room.ctypes.data % size
    return room[first : first + capacity * size].view(np.int64)


def _numbers(lines: np.ndarray) -> memoryview[float]:
    """The same memory, as float64."""
    return lines.view(np.float64).data  # type: ignore[return-value]  # numpy's types know views of integers only

"""Decisions that wait for their truth: a bounded ledger, joined by request id and row.

A label is counted once. A request that is delivered twice is one decision: the first one.
"""

from __future__ import annotations

from array import array
from typing import Literal

from reference_service.audit.records import Decision

Verdict = Literal["accepted", "duplicate", "unknown"]
_UNLABELLED = 255


def by_model(decision: Decision) -> bool:
    """Whether it says something of the quality of a model, whichever arm's: a fallback is a heuristic's word."""
    return decision.score is not None and decision.source != "fallback"


class Ledger:
    """A ring of decisions; the oldest make room.

    Args:
        capacity: rows.
    """

    __slots__ = ("_capacity", "_decisions", "_groups", "_index", "_labels", "_next", "_told")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._index: dict[str, int] = {}  # request id → place of its first row
        self._next = 0  # places ever used; a place's slot is this modulo capacity
        self._told = 0  # so many of them were fresh before
        self._decisions: list[Decision] = []
        self._labels = bytearray()
        self._groups = array("d")

    def __len__(self) -> int:
        return len(self._decisions)

    def add(self, decision: Decision, group: float = -1.0) -> None:
        """One row; the rows of a request follow each other, the first one first. `group`: as encoded, -1 of none."""
        index, place = self._index, self._next
        if decision.row == 0:
            if index.setdefault(decision.id, place) != place:
                return  # delivered twice
        else:
            first = place - decision.row
            if index.get(decision.id) != first or self._decisions[first % self._capacity].rows != decision.rows:
                return  # a further row of a request that was delivered twice
        self._next = place + 1
        if place < self._capacity:
            self._decisions.append(decision)
            self._labels.append(_UNLABELLED)
            self._groups.append(group)
            return
        slot = place % self._capacity
        oldest = self._decisions[slot]
        if oldest.row == 0:
            del index[oldest.id]  # with its first row a request can no longer be found
        self._decisions[slot] = decision
        self._labels[slot] = _UNLABELLED
        self._groups[slot] = group

    def fresh(self) -> list[Decision]:
        """The decisions that were added since the last call, but for what had to make room meanwhile."""
        since, self._told = max(self._told, self._next - self._capacity), self._next
        return [self._decisions[place % self._capacity] for place in range(since, self._next)]

    def find(self, request_id: str, row: int) -> Decision | None:
        """The decision on a row, if it is remembered."""
        first = self._index.get(request_id)
        if first is None:
            return None
        decision = self._decisions[first % self._capacity]
        return self._decisions[(first + row) % self._capacity] if 0 <= row < decision.rows else None

    def group(self, request_id: str, row: int) -> float:
        """The group of a decision that `find` finds."""
        return self._groups[(self._index[request_id] + row) % self._capacity]

    def known(self, request_id: str, row: int) -> int | None:
        """The label of a row, None while it is not known, or if the row is forgotten."""
        first = self._index.get(request_id)  # once: whoever learns asks from a thread, and requests go on
        if first is None or not 0 <= row < self._decisions[first % self._capacity].rows:
            return None
        found = self._labels[(first + row) % self._capacity]
        return None if found == _UNLABELLED else found

    def label(self, request_id: str, row: int, label: int) -> tuple[Verdict, Decision | None]:
        """Attach a label; with it comes the decision that it is about. What was refused or forgotten is unknown."""
        first = self._index.get(request_id)
        if first is None:
            return "unknown", None
        decision = self._decisions[first % self._capacity]
        if not 0 <= row < decision.rows:
            return "unknown", None
        slot = (first + row) % self._capacity
        decision = self._decisions[slot]
        if decision.score is None:
            return "unknown", None
        if self._labels[slot] != _UNLABELLED:
            return "duplicate", None
        self._labels[slot] = label
        return "accepted", decision

"""Decisions that wait for their truth: a bounded ledger, joined by request id and row.

A label is counted once. A request that is delivered twice is one decision: the first one.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Verdict = Literal["accepted", "duplicate", "unknown"]
_UNLABELLED = -1


class Judged(NamedTuple):
    """A decision whose label has just come."""

    seen_ns: int
    score: float
    label: int
    version: str
    decision: str


class Ledger:
    """A ring of decisions; the oldest make room.

    Args:
        capacity: rows.
    """

    __slots__ = ("_capacity", "_decisions", "_ids", "_index", "_labels", "_next", "_rows", "_scores", "_seen",
                 "_versions")  # fmt: skip

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._index: dict[str, int] = {}  # request id → slot of its first row
        self._next = 0  # slots ever used; the slot is this modulo capacity
        self._ids: list[str] = []
        self._rows: list[int] = []  # rows of the request, at its first slot; 0 at the others
        self._seen: list[int] = []
        self._scores: list[float] = []
        self._versions: list[str] = []
        self._decisions: list[str] = []
        self._labels: list[int] = []

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, request_id: str, seen_ns: int, score: float, version: str, decision: str) -> None:
        """A request of one row."""
        if request_id in self._index:
            return
        self._index[request_id] = self._next
        self._put(request_id, 1, seen_ns, (score, version, decision))

    def add_rows(self, request_id: str, seen_ns: int, rows: list[tuple[float, str, str]]) -> None:
        """A request of several rows, each (score, version, decision); a refused row has a NaN score."""
        if request_id in self._index or not rows:
            return
        self._index[request_id] = self._next
        for position, decided in enumerate(rows):
            self._put(request_id, 0 if position else len(rows), seen_ns, decided)

    def label(self, request_id: str, row: int, label: int) -> tuple[Verdict, Judged | None]:
        """Attach a label. What was refused, or has been forgotten, is unknown."""
        first = self._index.get(request_id)
        if first is None or not 0 <= row < self._rows[first % self._capacity]:
            return "unknown", None
        slot = (first + row) % self._capacity
        score = self._scores[slot]
        if score != score:  # noqa: PLR0124  # NaN: the row was refused, there is no decision to judge
            return "unknown", None
        if self._labels[slot] != _UNLABELLED:
            return "duplicate", None
        self._labels[slot] = label
        return "accepted", Judged(self._seen[slot], score, label, self._versions[slot], self._decisions[slot])

    def _put(self, request_id: str, rows: int, seen_ns: int, decided: tuple[float, str, str]) -> None:
        score, version, decision = decided
        slot = self._next % self._capacity
        self._next += 1
        if slot == len(self._ids):
            self._ids.append(request_id)
            self._rows.append(rows)
            self._seen.append(seen_ns)
            self._scores.append(score)
            self._versions.append(version)
            self._decisions.append(decision)
            self._labels.append(_UNLABELLED)
            return
        # The oldest decision goes, and with its first row the whole request can no longer be found.
        self._index.pop(self._ids[slot], None) if self._rows[slot] else None
        self._ids[slot] = request_id
        self._rows[slot] = rows
        self._seen[slot] = seen_ns
        self._scores[slot] = score
        self._versions[slot] = version
        self._decisions[slot] = decision
        self._labels[slot] = _UNLABELLED

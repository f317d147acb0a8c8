"""A history as plain Python rows, for the naive judge: nothing is vectorised, and nothing is shared with the checks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from simulator.history.schema import NEVER, AlertRecord, EventRecord, Header, History, Note, Outcome


class Row(NamedTuple):
    """One item, as the history has it, and where it stands there."""

    position: int
    stream: str
    number: int  # the column `index`
    copy: int
    request: int
    place: int  # the column `row`
    entity: int
    segment: str
    event_ns: int
    scheduled_ns: int
    sent_ns: int
    replied_ns: int
    attempts: int
    status: int
    outcome: int
    score: float
    decision: str
    source: int
    version: str
    reasons: str
    touched: int
    potent: int
    sent_digest: int
    leak: int
    truth: int
    label_due_ns: int
    label_ns: int


_NAMES: Final = {"number": "index", "place": "row"}
COLUMNS: Final = tuple(_NAMES.get(name, name) for name in Row._fields[1:])


@dataclass(frozen=True)
class Book:
    """One run: its rows in order, and all that is not an item."""

    header: Header
    rows: list[Row]
    alerts: tuple[AlertRecord, ...]
    events: dict[str, EventRecord]
    notes: tuple[Note, ...]
    log: tuple[bytes, ...] | None = None

    @cached_property
    def by_key(self) -> dict[tuple[str, int, int], Row]:
        """The row of a (stream, index, copy)."""
        return {(row.stream, row.number, row.copy): row for row in self.rows}

    @cached_property
    def kept(self) -> bool:
        """S3: each item stands here once, no label before its truth, and as many attempts as the driver made."""
        for row in self.rows:
            if row.label_ns != NEVER and (row.label_due_ns == NEVER or row.label_ns < row.label_due_ns):
                return False
            if row.replied_ns != NEVER and not NEVER < row.sent_ns <= row.replied_ns:
                return False
        made = [n.data["attempts"] for n in self.notes if n.kind == "driver" and "attempts" in n.data]
        known = bool(made) and all(row.outcome != Outcome.MISSING for row in self.rows)
        tried = sum(row.attempts for row in self.rows if row.place == 0)
        return len(self.by_key) == len(self.rows) and (not known or sum(made) == tried)

    @cached_property
    def requests(self) -> dict[int, list[Row]]:
        """The rows of each request."""
        found: dict[int, list[Row]] = {}
        for row in self.rows:
            found.setdefault(row.request, []).append(row)
        return found


def book(history: History) -> Book:
    """Read a history row by row."""
    columns = [history.items[name].tolist() for name in COLUMNS]
    rows = [Row._make(values) for values in zip(range(len(history)), *columns, strict=True)]
    events = {event.name: event for event in history.events}
    return Book(history.header, rows, history.alerts, events, history.notes, history.log)

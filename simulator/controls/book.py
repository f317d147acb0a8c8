"""A history as plain Python rows, for the naive judge: nothing here is vectorised, and nothing is shared with checks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from simulator.history.schema import AlertRecord, EventRecord, Header, History, Note


class Row(NamedTuple):
    """One item, as the history has it, and where it stands there."""

    position: int
    stream: str
    index: int
    copy: int
    request: int
    event_ns: int
    scheduled_ns: int
    replied_ns: int
    outcome: int
    score: float
    decision: str
    source: int
    version: str
    reasons: str
    touched: int
    potent: int
    truth: int
    label_ns: int


COLUMNS: Final = Row._fields[1:]


@dataclass(frozen=True, slots=True)
class Book:
    """One run: its rows in order, the same by key, and all that is not an item."""

    header: Header
    rows: list[Row]
    by_key: dict[tuple[str, int, int], Row] = field(repr=False)
    alerts: tuple[AlertRecord, ...]
    events: dict[str, EventRecord]
    notes: tuple[Note, ...]


def book(history: History) -> Book:
    """Read a history row by row."""
    columns = [history.items[name].tolist() for name in COLUMNS]
    rows = [Row(*values) for values in zip(range(len(history)), *columns, strict=True)]
    by_key = {(row.stream, row.index, row.copy): row for row in rows}
    events = {event.name: event for event in history.events}
    return Book(history.header, rows, by_key, history.alerts, events, history.notes)

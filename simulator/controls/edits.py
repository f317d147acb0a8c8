"""Pure edits of evidence: a copy in which only what is named differs, and only the columns concerned are copied."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from simulator.checks.evidence import Evidence
from simulator.history.schema import AlertRecord, History, Note


def with_main(evidence: Evidence, **parts: Any) -> Evidence:
    """Other alerts, events, notes or items in the main run."""
    return replace(evidence, main=replace(evidence.main, **parts))


def with_values(evidence: Evidence, positions: Iterable[int], **values: Any) -> Evidence:
    """Items of the main run at these positions have other values: one for all, or an array with one each."""
    at = np.fromiter(positions, np.int64)
    items = dict(evidence.main.items)
    for name, value in values.items():
        items[name] = items[name].copy()
        items[name][at] = value
    return with_main(evidence, items=items)


def rows_of_requests(history: History, requests: Iterable[int]) -> np.ndarray:
    """Positions of all rows of these requests."""
    return np.flatnonzero(np.isin(history.items["request"], np.fromiter(requests, np.int64)))


def with_alerts(evidence: Evidence, alerts: Iterable[AlertRecord]) -> Evidence:
    """Other alerts in the main run, in the order of their receipt."""
    return with_main(evidence, alerts=tuple(sorted(alerts, key=lambda record: record.at_ns)))


def with_note(evidence: Evidence, note: Note) -> Evidence:
    """One more note in the main run."""
    return with_main(evidence, notes=(*evidence.main.notes, note))


def without_notes(evidence: Evidence, kind: str) -> Evidence:
    """No note of that kind in the main run."""
    return with_main(evidence, notes=tuple(note for note in evidence.main.notes if note.kind != kind))


def with_illegible(evidence: Evidence) -> Evidence:
    """On each route that has a heartbeat, something else came first that nobody could read."""
    notes = evidence.main.notes
    routes = sorted({str(note.data.get("route", "")) for note in notes if note.kind == "heartbeat"})
    return with_main(evidence, notes=(*(Note(0, "unread", {"route": route, "why": ""}) for route in routes), *notes))


def without_receipt(evidence: Evidence, event: str) -> Evidence:
    """The event was planned, and nothing of it was delivered."""
    events = tuple(
        replace(record, delivered=0, potent=0) if record.name == event else record for record in evidence.main.events
    )
    return with_main(evidence, events=events)


def reversed_items(evidence: Evidence) -> Evidence:
    """The same items in another order: independent records have none."""
    return with_main(evidence, items={name: column[::-1].copy() for name, column in evidence.main.items.items()})

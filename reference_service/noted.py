"""What the monitors are told of a request that is not ordinary."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from reference_service.monitor.counters import Counters
from reference_service.monitor.groups import GroupMonitor
from reference_service.monitor.inputs import InputMonitors
from reference_service.validation import Columns, Row

BY_THE_MODEL: Final = frozenset({"model", "cache"})  # sources that are the model's own word
_KEY_LENGTH: Final = 64  # of an unknown field name that is repeated in alerts and metrics


def judged(counters: Counters, unknown_keys: int, columns: Columns, rows: Sequence[Row]) -> None:
    """What the contract says about the request as it came; at most so many unknown keys are told apart."""
    count = len(rows)
    counters.rows += count
    for name in columns.aliased:
        counters.repaired[name] += count
    for name in columns.unknown:
        key = name[:_KEY_LENGTH] if name.isprintable() else "?"
        if key in counters.unknown or len(counters.unknown) < unknown_keys:
            counters.unknown[key] += count
    for row in rows:
        for reason, field in row.breaches:
            (counters.missing if reason == "missing" else counters.invalid)[field] += 1


def received(inputs: InputMonitors, stored: Sequence[int], rows: Sequence[Row], event_ms: int | None) -> None:
    """What came, before any default.

    Args:
        inputs: of the version in use.
        stored: positions that the feature store fills.
        rows: of one request; those that the contract refuses become `rejected`.
        event_ms: when it happened, if the caller said so.
    """
    late = event_ms is not None and inputs.late(event_ms * 1_000_000, [row.received for row in rows])
    for row in rows:
        if row.problems:
            row.source = "rejected"
            # Refused before the store was asked, or because of what it said: either way nothing was received.
            row.unread.extend(position for position in stored if math.isnan(row.received[position]))
        if not late:
            inputs.received.put(row.received)
            inputs.received.unread(row.unread)


def degraded(groups: GroupMonitor, rows: Sequence[Row]) -> None:
    """Whose rows the model did not answer."""
    if groups.position >= 0:
        for row in rows:
            if row.source not in BY_THE_MODEL:
                groups.degraded[row.received[groups.position]] += 1

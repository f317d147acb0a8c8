"""The way of requests and labels: late, twice, never. Nothing here changes what a request says.

A request travels as a whole: its first row decides for all of it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from simulator.scenario.verbs import Event
from simulator.world.chunk import Chunk, taken
from simulator.world.labels import NEVER

AGAIN: Final = 1000  # the copy that stands for a second try after a decision; duplicates have smaller numbers


def of_request(hit: np.ndarray, row: np.ndarray) -> np.ndarray:
    """bool[n]: is the first row of this row's request hit? Requests stand whole, row after row."""
    whole: np.ndarray = hit[np.arange(len(row)) - row]
    return whole


def of_outcome(event: Event, label: np.ndarray) -> np.ndarray | bool:
    """bool[n]: is this an outcome whose labels the event is about?"""
    outcome = event.params.outcome
    return True if outcome == "any" else np.asarray(label == (1 if outcome == "positive" else 0))


def delivered_late(scheduled_ns: np.ndarray, hit: np.ndarray, by: int) -> np.ndarray:
    """The moments of delivery; those of what happened stay."""
    return scheduled_ns + np.where(hit, by, 0)


def duplicates(chunk: Chunk, hit: np.ndarray, after: int, retry_u: np.ndarray) -> Chunk:
    """Second deliveries of the requests that are hit. One outcome is reported once: copies bring no label."""
    items = np.flatnonzero(hit)
    copies = taken(chunk, items)
    return replace(
        copies,
        copy=copies.copy + np.int16(1),
        scheduled_ns=copies.scheduled_ns + after,
        label_due_ns=np.full(len(items), NEVER, dtype=np.int64),
        retry_u=retry_u[items],
    )


def labels_late(label_due_ns: np.ndarray, hit: np.ndarray, by: int) -> np.ndarray:
    """Labels that come at all come later."""
    return label_due_ns + np.where(hit & (label_due_ns != NEVER), by, 0)


def labels_lost(label_due_ns: np.ndarray, hit: np.ndarray) -> np.ndarray:
    """Labels never come."""
    return np.where(hit, NEVER, label_due_ns)

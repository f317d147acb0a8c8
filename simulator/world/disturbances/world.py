"""The world changes: other rows, with other truths, or other truths for the same rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from simulator.scenario.disturbances import Drift
from simulator.scenario.verbs import Event
from simulator.world.disturbances.selection import in_window, lot, matches
from simulator.world.disturbances.shapes import strength
from simulator.world.keyed import Draw
from simulator.world.population import Field, Rows, Truth

_WHOLE: Final = frozenset({"integer", "boolean"})
_OF_SIZE: Final = frozenset({"incremental", "seasonal"})  # shapes in which a shift has a size; in the others, a share


def drifted(
    rows: Rows, field: Field, event: Event, *, draw: Draw, index: np.ndarray, at_ns: np.ndarray, end_ns: int
) -> tuple[Rows, np.ndarray]:
    """The rows under a covariate drift, and which of them it touches (bool[n]).

    A number is shifted by standard deviations of the population, within what can be true of it; null stays null.
    Rows move to a category, be it new. An incremental or seasonal shift has every size between nothing and all, and
    touches every chosen row; otherwise, and of every move to a category, it is the share of the rows that changes.
    """
    drift: Drift = event.params
    column = rows.sent[field.name]
    force = strength(event, at_ns, end_ns)
    sized = drift.category is None and drift.shape in _OF_SIZE
    share = drift.share if sized else drift.share * force
    hit = in_window(event, at_ns) & (lot(draw, event, index) < share) & matches(drift.where, rows.sent)
    if drift.category is not None:
        moved = np.where(hit, np.array(drift.category, dtype=object), column)
    else:
        shift = (force if sized else 1.0) * (float(drift.shift or 0.0) * field.spread)
        there = np.minimum(np.maximum(column + shift, field.minimum), field.maximum)
        moved = np.where(hit, np.rint(there) if field.kind in _WHOLE else there, column)
    return replace(rows, sent=rows.sent | {field.name: moved}), hit


def reversed_truth(truth: Truth, hit: np.ndarray) -> Truth:
    """The opposite truth for the rows that are hit; what has no truth keeps none."""
    return replace(truth, label=opposite(truth.label, hit))


def opposite(label: np.ndarray, hit: np.ndarray) -> np.ndarray:
    """int8[n]: the other label where it is hit and there is one."""
    return np.where(hit & (label >= 0), 1 - label, label).astype(np.int8)


def flips(event: Event, draw: Draw, index: np.ndarray, at_ns: np.ndarray, end_ns: int) -> np.ndarray:
    """bool[n]: does the concept drift reverse this row's truth, should it touch it?"""
    share = event.params.flip * strength(event, at_ns, end_ns)
    hit: np.ndarray = draw.uniform(f"flip {event.event}", index) < share
    return hit

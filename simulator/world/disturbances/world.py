"""The world changes: other rows, with other truths, or other truths for the same rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from simulator.scenario.verbs import Drift, Event
from simulator.world.disturbances.selection import in_window, lot, matches
from simulator.world.keyed import Draw
from simulator.world.population import Field, Rows, Truth

_WHOLE: Final = frozenset({"integer", "boolean"})


def drifted(
    rows: Rows, field: Field, event: Event, *, draw: Draw, index: np.ndarray, at_ns: np.ndarray, end_ns: int
) -> tuple[Rows, np.ndarray]:
    """The rows under a covariate drift, and which of them it touches (bool[n]).

    A number is shifted by standard deviations of the population, within what can be true of it; null stays null.
    Rows move to a category, be it new. A gradual shift grows linearly over the ramp and touches every chosen row
    from the start; of a gradual move it is the share of the rows that grows.
    """
    drift: Drift = event.params
    column = rows.sent[field.name]
    grown = _ramp(event, at_ns, end_ns)
    share = drift.share if drift.category is None else drift.share * grown
    hit = in_window(event, at_ns) & (lot(draw, event, index) < share) & matches(drift.where, rows.sent)
    if drift.category is not None:
        moved = np.where(hit, np.array(drift.category, dtype=object), column)
    else:
        shift = grown * (float(drift.shift or 0.0) * field.spread)
        there = np.minimum(np.maximum(column + shift, field.minimum), field.maximum)
        moved = np.where(hit, np.rint(there) if field.kind in _WHOLE else there, column)
    return replace(rows, sent=rows.sent | {field.name: moved}), hit


def _ramp(event: Event, at_ns: np.ndarray, end_ns: int) -> np.ndarray | float:
    """How much of a drift has come by then, 0 to 1; all of it if it is sudden."""
    drift: Drift = event.params
    if drift.shape == "sudden":
        return 1.0
    whole = event.length if event.length is not None else end_ns - event.at
    over = drift.over if drift.over is not None else whole
    grown: np.ndarray = np.minimum(np.maximum((at_ns - event.at) / over, 0.0), 1.0)
    return grown


def reversed_truth(truth: Truth, hit: np.ndarray) -> Truth:
    """The opposite truth for the rows that are hit; what has no truth keeps none."""
    return replace(truth, label=np.where(hit & (truth.label >= 0), 1 - truth.label, truth.label).astype(np.int8))


def flips(event: Event, draw: Draw, index: np.ndarray) -> np.ndarray:
    """bool[n]: does the concept drift reverse this row's truth, should it touch it?"""
    hit: np.ndarray = draw.uniform(f"flip {event.event}", index) < event.params.flip
    return hit

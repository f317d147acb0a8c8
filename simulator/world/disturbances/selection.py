"""Which rows an event touches: those in its window, that match its `where`, and fall into its keyed share."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from simulator.scenario.disturbances import Bounds
from simulator.scenario.frozen import Scalar
from simulator.scenario.verbs import Event
from simulator.world.keyed import Draw


def in_window(event: Event, at_ns: np.ndarray) -> np.ndarray:
    """bool[n]: is the time in [at, at + for)?"""
    inside: np.ndarray = at_ns >= event.at
    return inside if event.length is None else inside & (at_ns < event.at + event.length)


def lot(draw: Draw, event: Event, index: np.ndarray) -> np.ndarray:
    """float64[n] in [0, 1): each row's own lot for this event; below the share, the row is touched."""
    return draw.uniform(f"event {event.event}", index)


def matches(where: Mapping[str, Scalar | Bounds] | None, sent: Mapping[str, np.ndarray]) -> np.ndarray | bool:
    """bool[n]: do all these fields have these values? ValueError for a field that the population lacks."""
    found: np.ndarray | bool = True
    for field, value in (where or {}).items():
        if field not in sent:
            raise ValueError(f"`where` names the field {field!r}; the population has {', '.join(sent)}")
        found = found & (_within(value, sent[field]) if isinstance(value, Bounds) else sent[field] == value)
    return found


def _within(bounds: Bounds, column: np.ndarray) -> np.ndarray | bool:
    inside: np.ndarray | bool = True
    if bounds.above is not None:
        inside = inside & (column > bounds.above)
    if bounds.below is not None:
        inside = inside & (column < bounds.below)
    return inside


def touched(
    draw: Draw, event: Event, index: np.ndarray, at_ns: np.ndarray, sent: Mapping[str, np.ndarray]
) -> np.ndarray:
    """bool[n]: the rows `index`, due at `at_ns`, that a selective event touches."""
    params = event.params
    inside = in_window(event, at_ns)
    if not inside.any():  # most events miss most blocks
        return inside
    hit: np.ndarray = inside & (lot(draw, event, index) < params.share) & matches(params.where, sent)
    return hit

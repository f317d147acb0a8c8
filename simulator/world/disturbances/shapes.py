"""How much of a change has come by some time: the shapes of drift."""

from __future__ import annotations

import numpy as np

from simulator.scenario.disturbances import Shaped
from simulator.scenario.verbs import Event


def strength(event: Event, at_ns: np.ndarray, end_ns: int) -> np.ndarray | float:
    """From 0 (the world as it was) to 1 (all of the change); a seasonal one goes down to -1 as well.

    Args:
        event: One whose verb has a shape.
        at_ns: int64[n], within the event.
        end_ns: The end of the traffic, where an event without a length ends.
    """
    shaped: Shaped = event.params
    since = at_ns - event.at
    if shaped.shape == "sudden":
        return 1.0
    if shaped.shape in {"gradual", "incremental"}:
        whole = event.length if event.length is not None else end_ns - event.at
        grown: np.ndarray = np.minimum(np.maximum(since / (shaped.over or whole), 0.0), 1.0)
        return grown
    assert shaped.every is not None  # noqa: S101 - refused when the scenario is read
    turn = (since % shaped.every) / shaped.every
    on = turn < 0.5  # noqa: PLR2004 - the first half of a period
    if shaped.shape == "recurring":
        return on.astype(np.float64)
    return np.where(on, _half_wave(2.0 * turn), -_half_wave(2.0 * turn - 1.0))


def _half_wave(x: np.ndarray) -> np.ndarray:
    """The sine of πx for x in [0, 1] to 0.002, by Bhaskara's fraction: libm's sine is not the same on every machine."""
    there_and_back = x * (1.0 - x)
    wave: np.ndarray = 16.0 * there_and_back / (5.0 - 4.0 * there_and_back)
    return wave

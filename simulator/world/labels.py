"""When the truth about a row becomes known."""

from __future__ import annotations

from typing import Final

import numpy as np

from simulator.scenario.model import Labels
from simulator.world import portable
from simulator.world.keyed import Draw
from simulator.world.population import Truth

NEVER: Final = -1
_Z95: Final = 1.6448536269514722  # the standard normal's 95 % quantile


def due_ns(draw: Draw, index: np.ndarray, event_ns: np.ndarray, truth: Truth, labels: Labels) -> np.ndarray:
    """int64[n]: the moments at which the labels of these rows come, NEVER where they do not.

    With `labels.delay`, a lognormal through its two quantiles; else the population's own moments. What never comes by
    nature (a cancelled flight) does not come with a delay either.
    """
    after = truth.label_after_ns
    if labels.delay is not None:
        median, p95 = float(labels.delay.median), float(labels.delay.p95)
        if not 0 < median <= p95:
            raise ValueError(f"a label delay needs 0 < median <= p95, not {median:.0f} ns and {p95:.0f} ns")
        sigma = portable.log2(np.array([p95 / median]))[0] / _Z95
        delay = median * portable.exp2(sigma * portable.normal_quantile(draw.uniform("label delay", index)))
        after = np.where(after < 0, NEVER, np.rint(delay).astype(np.int64))
    lost = (after < 0) | (draw.uniform("label missing", index) < labels.missing)
    return np.where(lost, NEVER, event_ns + after)

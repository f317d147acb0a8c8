"""How far the canary's scores lie from the champion's. It tells, and never takes anything back.

A better model has other scores, so their distance is no evidence of harm; somebody should know of it all the same.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

import numpy as np

_CELLS = 10


class ScoreShift:
    """Scores of both arms, counted in the deciles of the champion's reference.

    Args:
        deciles: nine cuts.
    """

    __slots__ = ("_counts", "_cuts")

    def __init__(self, deciles: Iterable[float]) -> None:
        self._cuts = [float(cut) for cut in deciles]
        self._counts = ([0] * _CELLS, [0] * _CELLS)  # champion, canary

    def add(self, score: float, *, new: bool) -> None:
        """One score of one arm."""
        self._counts[new][bisect_right(self._cuts, score)] += 1

    def psi(self, at_least: int) -> float:
        """Population stability index of the canary against the champion; 0 with fewer scores than that in an arm.

        Half a count is added to every cell, so that an empty one is neither infinite nor ignored.
        """
        champion, canary = (np.array(counts, dtype=float) for counts in self._counts)
        if min(champion.sum(), canary.sum()) < at_least:
            return 0.0
        p, q = ((counts + 0.5) / (counts.sum() + 0.5 * _CELLS) for counts in (champion, canary))
        return float(((q - p) * np.log(q / p)).sum())

"""How far the canary's scores lie from the champion's. It tells, and never takes anything back.

A better model has other scores, so their distance is no evidence of harm; somebody should know of it all the same.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

_CELLS: Final = 10
Counts = tuple[list[int], list[int]]  # of each cell: of the champion, of the canary


class ScoreShift:
    """Scores of both arms, counted in the deciles of the champion's reference.

    Args:
        deciles: nine cuts.
    """

    __slots__ = ("_counts", "_cuts", "_elsewhere")

    def __init__(self, deciles: Iterable[float]) -> None:
        self._cuts = [float(cut) for cut in deciles]
        self._counts: Counts = ([0] * _CELLS, [0] * _CELLS)
        self._elsewhere = np.zeros((2, _CELLS))  # and by other processes

    def add(self, score: float, *, new: bool) -> None:
        """One score of one arm."""
        self._counts[new][bisect_right(self._cuts, score)] += 1

    def told(self) -> Counts:
        """What was counted here; of nothing, no cells."""
        champion, canary = self._counts
        return (list(champion), list(canary)) if any(champion) or any(canary) else ([], [])

    def hear(self, others: Sequence[Counts]) -> None:
        """What other processes have counted until now. Cells of another number are left out."""
        whole = [counts for counts in others if len(counts[0]) == len(counts[1]) == _CELLS]
        self._elsewhere = np.sum(whole, axis=0) if whole else np.zeros((2, _CELLS))

    def psi(self, at_least: int) -> float:
        """Population stability index of the canary against the champion; 0 with fewer scores than that in an arm.

        Half a count is added to every cell, so that an empty one is neither infinite nor ignored.
        """
        champion, canary = np.array(self._counts, dtype=float) + self._elsewhere
        if min(champion.sum(), canary.sum()) < at_least:
            return 0.0
        p, q = ((counts + 0.5) / (counts.sum() + 0.5 * _CELLS) for counts in (champion, canary))
        return float(((q - p) * np.log(q / p)).sum())

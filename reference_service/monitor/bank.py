"""Many rate detectors, looked at together: what a tick costs depends on what is new, hardly on their number.

The evidence, the alarms and the recoveries are those of one `RateDetector` for each rate. They are kept in arrays
because nearly every look at nearly every rate is good news about a rate that nothing is held against.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Final

import numpy as np

from reference_service.core.evidence import NEAR, STANDS, weigh
from reference_service.monitor.eprocess import STEPS, log_mean_exp

NONE: Final = -1


class RateBank:
    """Alarms of d rates, each against its own tolerance.

    Args:
        of: (field, bad cell, cell that does not count at all, or `NONE`) of each.
        tolerated: d rates in (0, 1) up to which nobody is disturbed.
        normal: d rates that count as recovered.
        alpha: false alarms per look and rate, at most.
        calm_looks: trailing looks that must be back to normal.
        calm_rows: observations that these looks must hold.
    """

    __slots__ = ("_calm_rows", "_evidence", "_evident", "_limit", "_looks", "_normal", "_of", "_recent",
                 "firing")  # fmt: skip
    KEPT: ClassVar[tuple[str, ...]] = ("_evident", "_logs", "_looks", "_recent", "firing")

    def __init__(
        self,
        of: Sequence[tuple[int, int, int]],
        tolerated: Sequence[float],
        normal: Sequence[float],
        *,
        alpha: float,
        calm_looks: int,
        calm_rows: int,
    ) -> None:
        self._of = np.array(of, dtype=np.int64)
        each = [(null, null + (1 - null) * step) for null in tolerated for step in STEPS]
        shape = len(tolerated), len(STEPS)
        self._evidence = np.zeros((3, *shape))  # logarithms of the products; what a bad one adds; what a good one adds
        self._evidence[1] = np.array([math.log(p / null) for null, p in each]).reshape(shape)
        self._evidence[2] = np.array([math.log((1 - p) / (1 - null)) for null, p in each]).reshape(shape)
        self._limit = -math.log(alpha)
        self._normal = np.array(normal)
        self._recent = np.zeros((calm_looks, 2, len(tolerated)), dtype=np.int64)  # the latest looks, in a ring
        self._looks = 0
        self._calm_rows = calm_rows
        self._evident = np.zeros(len(tolerated), dtype=bool)  # good observations have something to take back
        self.firing = np.zeros(len(tolerated), dtype=bool)

    @property
    def _logs(self) -> np.ndarray:
        logs: np.ndarray = self._evidence[0]
        return logs

    @_logs.setter
    def _logs(self, logs: np.ndarray) -> None:
        self._evidence[0] = logs

    def look(self, counts: np.ndarray, window: np.ndarray) -> bool:
        """Take in what was received; whether any alarm stands or has just ended.

        Args:
            counts: int64[fields, cells].
            window: the same shape; the counts are added to it, which costs nothing on the way.
        """
        recent, slot = self._recent, self._looks % len(self._recent)
        self._looks += 1
        found = weigh(counts, window, self._of, recent, slot, self._evidence, self._evident, self.firing, self._limit)
        if not found:
            return False
        if found & STANDS:
            self._recover()
        if found & NEAR:
            self._fire()
        return bool(found & STANDS or np.count_nonzero(self.firing))

    def rates(self) -> np.ndarray:
        """float64[d]: of the trailing looks."""
        bad, total = self._recent.sum(axis=0)
        return np.asarray(bad / np.maximum(total, 1))

    def latest(self) -> np.ndarray:
        """float64[d]: of the last look."""
        bad, total = self._recent[(self._looks - 1) % len(self._recent)]
        return np.asarray(bad / np.maximum(total, 1))

    def _fire(self) -> None:
        """Alarms of rates whose mean has reached the limit; it cannot where the largest has not."""
        logs = self._logs
        for k in np.flatnonzero(~self.firing & (logs.max(axis=1) >= self._limit)).tolist():
            self.firing[k] = log_mean_exp(logs[k].tolist()) >= self._limit

    def _recover(self) -> None:
        """Clear the alarms of rates whose trailing looks are back to normal."""
        if self._looks < len(self._recent):
            return
        bad, total = self._recent.sum(axis=0)
        calm = self.firing & (total >= self._calm_rows) & (bad <= self._normal * total)
        self.firing[calm] = self._evident[calm] = False
        self._logs[calm] = 0.0

"""Many rate detectors, looked at together: what a tick costs depends on what is new, hardly on their number.

The evidence, the alarms and the recoveries are those of one `RateDetector` for each rate. They are kept in arrays
because nearly every look at nearly every rate is good news about a rate that nothing is held against.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from reference_service.monitor.eprocess import STEPS, log_mean_exp


class RateBank:
    """Alarms of d rates, each against its own tolerance.

    Args:
        tolerated: d rates in (0, 1) up to which nobody is disturbed.
        normal: d rates that count as recovered.
        alpha: false alarms per look and rate, at most.
        calm_looks: trailing looks that must be back to normal.
        calm_rows: observations that these looks must hold.
    """

    __slots__ = ("_calm_rows", "_down", "_evident", "_limit", "_logs", "_looks", "_normal", "_recent", "_up",
                 "firing")  # fmt: skip
    KEPT: ClassVar[tuple[str, ...]] = ("_evident", "_logs", "_looks", "_recent", "firing")

    def __init__(
        self, tolerated: Sequence[float], normal: Sequence[float], *, alpha: float, calm_looks: int, calm_rows: int
    ) -> None:
        each = [(null, null + (1 - null) * step) for null in tolerated for step in STEPS]
        shape = len(tolerated), len(STEPS)
        self._up = np.array([math.log(p / null) for null, p in each]).reshape(shape)
        self._down = np.array([math.log((1 - p) / (1 - null)) for null, p in each]).reshape(shape)
        self._logs = np.zeros(shape)
        self._limit = -math.log(alpha)
        self._normal = np.array(normal)
        self._recent = np.zeros((calm_looks, 2, len(tolerated)), dtype=np.int64)  # the latest looks, in a ring
        self._looks = 0
        self._calm_rows = calm_rows
        self._evident = np.zeros(len(tolerated), dtype=bool)  # good observations have something to take back
        self.firing = np.zeros(len(tolerated), dtype=bool)

    def look(self, bad: np.ndarray, total: np.ndarray) -> bool:
        """Take in int64[d] `bad` of `total` observations; whether any alarm stands or has just ended."""
        self._recent[self._looks % len(self._recent)] = bad, total
        self._looks += 1
        stood = self.firing.any()
        awake = (bad > 0) | self._evident
        if stood:
            awake &= ~self.firing
            self._recover()
        if awake.any():
            self._weigh(np.flatnonzero(awake), bad, total)
        return bool(stood or self.firing.any())

    def rates(self) -> np.ndarray:
        """float64[d]: of the trailing looks."""
        bad, total = self._recent.sum(axis=0)
        return np.asarray(bad / np.maximum(total, 1))

    def latest(self) -> np.ndarray:
        """float64[d]: of the last look."""
        bad, total = self._recent[(self._looks - 1) % len(self._recent)]
        return np.asarray(bad / np.maximum(total, 1))

    def _weigh(self, rows: np.ndarray, bad: np.ndarray, total: np.ndarray) -> None:
        """One factor for each of these rates that has evidence, or gets some."""
        some, good = bad[rows, None], (total - bad)[rows, None]
        logs = np.maximum(self._logs[rows], 0.0) + some * self._up[rows] + good * self._down[rows]
        self._logs[rows] = logs
        top = logs.max(axis=1)
        self._evident[rows] = top > 0
        # The mean cannot reach the limit where the largest does not.
        for k in np.flatnonzero(top >= self._limit).tolist():
            self.firing[rows[k]] = log_mean_exp(logs[k].tolist()) >= self._limit

    def _recover(self) -> None:
        """Clear the alarms of rates whose trailing looks are back to normal."""
        if self._looks < len(self._recent):
            return
        bad, total = self._recent.sum(axis=0)
        calm = self.firing & (total >= self._calm_rows) & (bad <= self._normal * total)
        self.firing[calm] = self._evident[calm] = False
        self._logs[calm] = 0.0

"""Evidence that may be looked at after every observation: e-processes with restart (e-detectors).

Under the null each factor has expectation at most 1, so by Ville's inequality a product reaches 1/alpha with
probability at most alpha, however often one looks. For change detection the product restarts at 1 whenever it falls
below (M <- max(M, 1) x e, the CUSUM form): the mean time to a false alarm is at least 1/alpha looks. Mixtures over
alternatives keep both properties. See Shin, Ramdas, Rinaldo: E-detectors (arXiv 2203.03532).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from typing import ClassVar, Final

import numpy as np

# How far an alternative lies from the tolerated rate towards 1: from a trickle to everything.
STEPS: Final = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 0.9, 0.99)
# Bets of the loss detector, as shares of the largest bet that keeps every factor positive.
_BETS: Final = (0.05, 0.1, 0.2, 0.4, 0.8)


def log_mean_exp(logs: Iterable[float]) -> float:
    """Natural logarithm of the mean of exp(logs), without overflow."""
    values = list(logs)
    top = max(values)
    return top + math.log(math.fsum(math.exp(value - top) for value in values) / len(values))


class RateDetector:
    """Alarms when the rate of an event is above `tolerated`, and clears when the recent past is back to normal.

    Args:
        tolerated: rate in (0, 1) up to which nobody is disturbed: the null is "rate <= tolerated".
        normal: rate that counts as recovered; below `tolerated`, so that the alarm does not flap in between.
        alpha: false alarms per look, at most.
        calm_looks: trailing looks that must be back to normal.
        calm_rows: observations that these looks must hold.
    """

    __slots__ = ("_calm_rows", "_evident", "_limit", "_logs", "_normal", "_recent", "_steps", "firing")
    KEPT: ClassVar[tuple[str, ...]] = ("_evident", "_logs", "_recent", "firing")

    def __init__(self, tolerated: float, normal: float, *, alpha: float, calm_looks: int, calm_rows: int) -> None:
        alternatives = [tolerated + (1 - tolerated) * step for step in STEPS]
        self._steps = [(math.log(p / tolerated), math.log((1 - p) / (1 - tolerated))) for p in alternatives]
        self._logs = [0.0] * len(alternatives)
        self._limit = -math.log(alpha)
        self._normal = normal
        self._recent: deque[tuple[int, int]] = deque(maxlen=calm_looks)
        self._calm_rows = calm_rows
        self._evident = False  # some product is above 1: good observations have something to take back
        self.firing = False

    def look(self, bad: int, total: int) -> bool:
        """Take in `bad` of `total` observations and say whether the alarm stands."""
        self._recent.append((bad, total))
        if self.firing:
            self._recover()
        elif bad or self._evident:
            good = total - bad
            logs = self._logs
            for index, (up, down) in enumerate(self._steps):
                logs[index] = max(logs[index], 0.0) + bad * up + good * down
            top = max(logs)
            self._evident = top > 0
            # The mean cannot reach the limit where the largest does not.
            self.firing = top >= self._limit and log_mean_exp(logs) >= self._limit
        return self.firing

    @property
    def rate(self) -> float:
        """Of the trailing looks."""
        total = sum(n for _, n in self._recent)
        return sum(k for k, _ in self._recent) / total if total else 0.0

    @property
    def latest(self) -> float:
        """Of the last look."""
        bad, total = self._recent[-1] if self._recent else (0, 0)
        return bad / total if total else 0.0

    def _recover(self) -> None:
        """Clear the alarm if the trailing looks are back to normal."""
        bad = sum(k for k, _ in self._recent)
        total = sum(n for _, n in self._recent)
        full = len(self._recent) == self._recent.maxlen
        if full and total >= self._calm_rows and bad <= self._normal * total:
            self.firing = self._evident = False
            self._logs = [0.0] * len(self._logs)


class LossDetector:
    """Alarms when the mean of a loss in [0, 1] is above `tolerated`, by betting against it.

    Each factor is 1 + bet x (loss - tolerated) with a fixed bet < 1 / tolerated, so it stays positive and its
    expectation is at most 1 while the mean loss is at most `tolerated`.

    Args:
        tolerated: mean loss in (0, 1).
        normal: trailing mean that counts as recovered.
        alpha: false alarms per look, at most.
        calm_rows: trailing losses whose mean decides about recovery.
    """

    __slots__ = ("_bets", "_limit", "_logs", "_normal", "_recent", "_tolerated", "firing")
    KEPT: ClassVar[tuple[str, ...]] = ("_logs", "_recent", "firing")

    def __init__(self, tolerated: float, normal: float, *, alpha: float, calm_rows: int) -> None:
        self._tolerated = tolerated
        self._bets = [share / tolerated for share in _BETS]
        self._logs = [0.0] * len(_BETS)
        self._limit = -math.log(alpha)
        self._normal = normal
        self._recent: deque[float] = deque(maxlen=calm_rows)
        self.firing = False

    def look(self, losses: Iterable[float]) -> bool:
        """Take in the losses that have come since the last look, and say whether the alarm stands.

        They are weighed together, whatever their order: labels that come first are often those of cases that somebody
        looked into, and the alarm must not stand on the order in which labels come.
        """
        block = list(losses)
        if not block and not self.firing:
            return False  # labels come far more seldom than looks
        self._recent.extend(block)
        if block and not self.firing:
            excess = np.array(block, dtype=np.float64) - self._tolerated
            gains = np.log1p(np.multiply.outer(self._bets, excess)).sum(axis=1)
            self._logs = (np.maximum(self._logs, 0.0) + gains).tolist()
            if max(self._logs) >= self._limit and log_mean_exp(self._logs) >= self._limit:
                self.firing = True
                self._recent.clear()
        recent = self._recent
        if self.firing and len(recent) == recent.maxlen and math.fsum(recent) <= self._normal * len(recent):
            self.firing = False
            self._logs = [0.0] * len(self._logs)
        return self.firing

"""The monitors of what the model says: the scores' distribution, their confidence, and quality without labels.

Without labels, quality can be estimated only by believing the calibration that held in training (CBPE: NannyML,
Confidence-based performance estimation): a score in cell k stands for a rate c_k of positives, so the expected Brier
loss of scores s is the mean of s² - 2 s c_k + c_k. Under concept drift that belief is what is wrong, so the
estimate is always *unverified*: it is shown, and nobody is ever paged or rolled back by it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import ClassVar, Final, NamedTuple

import numpy as np

from reference_service.core.evidence import spread
from reference_service.monitor.drift import DriftDetector
from reference_service.policy import Policy
from reference_service.profile import Profile

_TOGETHER: Final = 1024  # scores that wait to be counted, at most


class Unverified(NamedTuple):
    """What the last closed window's scores would be worth if the calibration still held. None: no scores."""

    n: int
    positive_rate: float | None
    brier: float | None
    confidence: float | None  # mean probability of the likelier class
    status: str = "unverified"


class ScoreMonitor:
    """Scores of the model's own answers.

    Args:
        profile: of the version that serves.
        policy: thresholds of the drift.
    """

    __slots__ = ("_calibration", "_cells", "_closed", "_cuts", "_deciles", "_even", "_n_reference", "_sums",
                 "_waiting", "drift")  # fmt: skip
    KEPT: ClassVar[tuple[str, ...]] = ("_cells", "_sums", "_waiting")

    def __init__(self, profile: Profile, policy: Policy) -> None:
        self._deciles = np.array(profile.score_deciles, dtype=np.float64)
        self._n_reference = profile.n_reference
        self._cuts = np.array(profile.calibration_cuts, dtype=np.float64)
        self._calibration = profile.calibration
        self._cells = np.zeros(len(self._deciles) + 1, dtype=np.int64)
        self._even = np.full(len(self._cells), 1 / len(self._cells))
        self._sums = np.zeros((3, len(self._calibration)))  # by cell of the calibration: rows, scores, their squares
        self._waiting = array("d")  # to be counted: ten numpy calls are too many for the few scores of a tick
        self.drift = DriftDetector(policy)
        self._closed = np.zeros_like(self._sums)  # of the last window

    def add(self, scores: Iterable[float]) -> None:
        """Take in scores."""
        self._waiting.extend(scores)
        if len(self._waiting) >= _TOGETHER:
            self._count()

    def close(self) -> None:
        """Judge the window that ends here, and begin another."""
        if self._waiting:
            self._count()
        self.drift.look(self._even, self._n_reference, self._cells)
        self._cells = np.zeros(len(self._cells), np.int64)  # the detector keeps the old ones
        self._closed, self._sums = self._sums, np.zeros(self._sums.shape)

    def _count(self) -> None:
        spread(np.asarray(self._waiting), self._deciles, self._cells, self._cuts, self._sums)
        self._waiting = array("d")

    @property
    def estimate(self) -> Unverified:
        """Of the last closed window; nothing before the first one."""
        rows, scores, squares = self._closed
        n, rate = int(rows.sum()), self._calibration
        if not n:
            return Unverified(0, None, None, None)
        return Unverified(
            n,
            float((rows * rate).sum() / n),
            float((squares - 2 * scores * rate + rows * rate).sum() / n),
            float((rows * np.maximum(rate, 1 - rate)).sum() / n),
        )

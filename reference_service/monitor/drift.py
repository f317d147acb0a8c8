"""Drift: has what arrives come to differ from what training saw, enough to matter and surely enough to say so?

A window is hot when its PSI is at least `drift_fire` (effect) and beyond what chance gives at the budget's alpha
(evidence: with no drift PSI is about (1/n + 1/m) chi2(K - 1), Yurdakul 2018). Two hot windows of the last three page;
three calm ones in a row clear. A window with too few rows is *insufficient*: it neither fires nor clears.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from types import EllipsisType
from typing import ClassVar, Literal

import numpy as np
from scipy.special import chdtri

from reference_service.core.cells import psi
from reference_service.policy import Policy

# `shifted`: surely different, and by too little to matter. Shown, never told.
State = Literal["ok", "insufficient", "shifted", "drift"]
# Shares, the rows they were taken from, counts, and which row of the arrays it is: all of it if they have none.
Window = tuple[np.ndarray, int, np.ndarray, int | EllipsisType]


def chance(reference: np.ndarray, n_reference: int, counts: np.ndarray, alpha: float) -> np.ndarray:
    """float64[...]: the PSI that int64[..., K] counts exceed with probability alpha if nothing has changed."""
    cells = ((reference > 0) | (counts > 0)).sum(axis=-1)
    rows = np.maximum(counts.sum(axis=-1), 1)
    return np.where(cells > 1, (1 / rows + 1 / max(n_reference, 1)) * chdtri(np.maximum(cells - 1, 1), alpha), 0.0)


class DriftDetector:
    """One distribution, judged window by window.

    Args:
        policy: thresholds.
    """

    __slots__ = ("_calm", "_hot", "_policy", "_psi", "_window", "firing", "n", "needs", "state")
    KEPT: ClassVar[tuple[str, ...]] = ("_calm", "_hot", "firing", "n", "psi", "state")

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.needs = policy.drift_rows  # of which a window can be judged
        self._hot: deque[bool] = deque(maxlen=policy.drift_of)
        self._calm = 0
        self.firing = False
        self.state: State = "insufficient"
        self._psi = 0.0
        self._window: Window | None = None  # the last one, if it has not been measured
        self.n = 0

    @property
    def psi(self) -> float:
        """Of the last window. One that decides nothing, having too few rows, is measured when somebody asks."""
        if self._window is not None:
            reference, n_reference, counts, row = self._window
            self.psi = float(psi(reference[row], n_reference, counts[row]))
        return self._psi

    @psi.setter
    def psi(self, index: float) -> None:
        self._psi, self._window = index, None

    def look(self, reference: np.ndarray, n_reference: int, counts: np.ndarray) -> bool:
        """Judge one window's counts (int64[K]) against shares (float64[K]) and say whether the alarm stands.

        The arrays may be kept: nobody may change them afterwards.
        """
        n = sum(counts.tolist())
        if n < self.needs:
            return self.too_few((reference, n_reference, counts, ...), n)
        return self.judge(reference, n_reference, counts, n, float(psi(reference, n_reference, counts)))

    def too_few(self, window: Window, n: int) -> bool:
        """The same where it is known that the window's rows are too few."""
        self.n, self._window = n, window
        self.state = "insufficient"
        # An old hot window must not wait for days for a second one.
        self._hot.append(False)
        return self.firing

    def judge(self, reference: np.ndarray, n_reference: int, counts: np.ndarray, n: int, index: float) -> bool:
        """The same where the number of rows and the PSI are known."""
        policy = self._policy
        if n < self.needs:
            return self.too_few((reference, n_reference, counts, ...), n)
        self.n, self.psi = n, index
        evident = self.psi > self._chance(reference, n_reference, counts)
        hot = evident and self.psi >= policy.drift_fire
        self._hot.append(hot)
        self._calm = self._calm + 1 if self.psi < policy.drift_clear else 0
        if not self.firing and sum(self._hot) >= policy.drift_hot:
            self.firing = True
        elif self.firing and self._calm >= policy.drift_calm:
            self.firing = False
            self._hot.clear()
        self.state = "drift" if hot or self.firing else "shifted" if evident else "ok"
        return self.firing

    def _chance(self, reference: np.ndarray, n_reference: int, counts: np.ndarray) -> float:
        return float(chance(reference, n_reference, counts, self._policy.alpha))


def look_at_all(detectors: Sequence[DriftDetector], shares: np.ndarray, n_reference: int, counts: np.ndarray) -> None:
    """`look` for each of d detectors, by its row of float64[d, K] shares and of int64[d, K] counts."""
    rows = counts.sum(axis=1).tolist()
    if max(rows) < min([detector.needs for detector in detectors]):
        for row, (detector, n) in enumerate(zip(detectors, rows, strict=True)):
            detector.too_few((shares, n_reference, counts, row), n)
        return
    indices = psi(shares, n_reference, counts).tolist()
    for detector, *window in zip(detectors, shares, counts, rows, indices, strict=True):
        reference, counted, n, index = window
        detector.judge(reference, n_reference, counted, n, index)

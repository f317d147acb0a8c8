"""What counts prove of a share, and of one group's share beside that of all the others."""

from __future__ import annotations

import numpy as np
from scipy.special import betaincinv


def lower(bad: np.ndarray, total: np.ndarray, alpha: float) -> np.ndarray:
    """float64[...]: the share that so many of `total` prove, one-sided (Clopper and Pearson, Biometrika 1934)."""
    found = betaincinv(np.maximum(bad, 1), total - bad + 1, alpha)
    return np.where((bad > 0) & (total > 0), found, 0.0)


def upper(bad: np.ndarray, total: np.ndarray, alpha: float) -> np.ndarray:
    """float64[...]: the share that so many of `total` do not exclude."""
    found = betaincinv(bad + 1, np.maximum(total - bad, 1), 1 - alpha)
    return np.where(bad < total, found, 1.0)


def apart(bad: np.ndarray, total: np.ndarray, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """How much larger each group's share surely is than that of all the others together, and how much it may be.

    Args:
        bad: int[groups, ...].
        total: int[groups, ...].
        alpha: of each of the two bounds that a difference is made of.
    """
    others_bad, others = bad.sum(axis=0) - bad, total.sum(axis=0) - total
    least = lower(bad, total, alpha) - upper(others_bad, others, alpha)
    return least, upper(bad, total, alpha) - lower(others_bad, others, alpha)

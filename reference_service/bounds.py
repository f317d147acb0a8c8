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


def least_apart(bad: np.ndarray, total: np.ndarray, alpha: float) -> np.ndarray:
    """How much larger each group's share surely is than that of all the others together.

    Args:
        bad: int[groups, ...].
        total: int[groups, ...].
        alpha: of each of the two bounds that a difference is made of.
    """
    least: np.ndarray = lower(bad, total, alpha) - upper(_others(bad), _others(total), alpha)
    return least


def most_apart(bad: np.ndarray, total: np.ndarray, alpha: float) -> np.ndarray:
    """How much larger each group's share may be, as far as the counts say. Arguments: see `least_apart`."""
    most: np.ndarray = upper(bad, total, alpha) - lower(_others(bad), _others(total), alpha)
    return most


def _others(counts: np.ndarray) -> np.ndarray:
    return np.asarray(counts.sum(axis=0) - counts)

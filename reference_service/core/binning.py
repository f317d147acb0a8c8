"""Bin once: every feature is compiled to at most 253 cuts, so that a row becomes one byte to a feature.

The cuts of a feature are all split thresholds of the forest for it and the quantile cuts that the monitors need.
Interval codes 0…253, *unseen* and *null* share the 256 values of a byte. No split separates two values of one
interval, therefore the forest may be evaluated on codes without loss: an interval behaves as its `representative`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from reference_service.core.trees import ZERO, Model

MAX_CUTS: Final = 253
UNSEEN_CODE: Final = 254
NULL_CODE: Final = 255
N_CODES: Final = 256

UNSEEN: Final = -1.0
"""How a category that training never saw is written in a row of values (a known one is its ordinal).

It has a code of its own for the monitors. Validation keeps it from the forest; with validation switched off, the
forest takes it as NaN, the direction that training learned for "no information".
"""

_BELOW_ZERO: Final = float(np.nextafter(-ZERO, -np.inf))


class TooManyCuts(ValueError):  # noqa: N818 - reads as the reason that it is
    """A feature needs more cuts than one byte can tell apart."""


@dataclass(frozen=True, slots=True)
class Bins:
    """The compiled cuts of f features, ready for a branch-free search of eight steps.

    A value's code is the number of cuts below it; NaN is `NULL_CODE`; outside [low, high] is `UNSEEN_CODE`.
    """

    cuts: np.ndarray  # float64[f, 256], ascending, padded with +inf
    n_cuts: np.ndarray  # int64[f]
    low: np.ndarray  # float64[f], -inf for numbers, 0 for categories
    high: np.ndarray  # float64[f], +inf for numbers, k - 1 for k categories


def compile_bins(model: Model, n_categories: np.ndarray, quantiles: np.ndarray) -> Bins:
    """Compile the cuts of every feature.

    Args:
        model: The forest; its features are in the order of the arrays.
        n_categories: int64[f], the number of categories, 0 for a number.
        quantiles: float64[f, q], the monitors' cuts of each number (ignored for categories, each of which is its
            own code anyway).

    Raises:
        TooManyCuts: Naming the feature, what it needs and what there is.
    """
    thresholds, zero_is_missing = _thresholds(model)
    f = len(model.features)
    cuts = np.full((f, N_CODES), np.inf)
    n_cuts = np.zeros(f, dtype=np.int64)
    for j in range(f):
        if n_categories[j]:
            own = np.arange(n_categories[j] - 1) + 0.5
            parts = f"{n_categories[j]} categories"
        else:
            forest = _around_zero(thresholds[j], zero_is_missing=zero_is_missing[j])
            monitors = quantiles[j][np.isfinite(quantiles[j])]
            own = np.unique(np.concatenate([forest, monitors]))
            parts = f"{len(forest)} split thresholds and {len(np.setdiff1d(monitors, forest))} quantiles"
        if len(own) > MAX_CUTS:
            raise TooManyCuts(
                f"feature {model.features[j]!r} needs {len(own)} cuts ({parts}); a byte has room for {MAX_CUTS}: "
                "train with a smaller max_bin, or group rare categories"
            )
        cuts[j, : len(own)] = own
        n_cuts[j] = len(own)
    categorical = n_categories > 0
    return Bins(
        cuts=cuts,
        n_cuts=n_cuts,
        low=np.where(categorical, 0.0, -np.inf),
        high=np.where(categorical, n_categories - 1.0, np.inf),
    )


def representatives(bins: Bins, feature: int) -> np.ndarray:
    """float64[256]: for each code a value that the forest treats as every value of that code.

    The upper end of an interval, which belongs to it (LightGBM's splits are `<=`); for a category its ordinal;
    NaN for null and unseen. Codes that no value has repeat the last interval.
    """
    n = bins.n_cuts[feature]
    values = np.full(N_CODES, bins.high[feature])
    values[:n] = bins.cuts[feature, :n]
    if np.isfinite(bins.high[feature]):
        values[: n + 1] = np.arange(n + 1)
    values[[UNSEEN_CODE, NULL_CODE]] = np.nan
    return values


def _thresholds(model: Model) -> tuple[list[set[float]], list[bool]]:
    """By feature: the thresholds of its nodes, and whether any of them treats zero as missing."""
    thresholds: list[set[float]] = [set() for _ in model.features]
    zero_is_missing = [False] * len(model.features)
    for tree in model.trees:
        for node in tree.nodes:
            thresholds[node.feature].add(node.threshold)
            zero_is_missing[node.feature] |= node.missing == "zero"
    return thresholds, zero_is_missing


def _around_zero(thresholds: set[float], *, zero_is_missing: bool) -> np.ndarray:
    """The thresholds, with those inside ±ZERO, where LightGBM sees only zero, replaced by the edges of that zone."""
    outside = {t for t in thresholds if not -ZERO <= t <= ZERO}
    edges = {_BELOW_ZERO, ZERO} if zero_is_missing or len(outside) < len(thresholds) else set()
    return np.array(sorted(outside | edges), dtype=np.float64)

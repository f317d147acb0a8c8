"""What a count can say about a share (S5): one-sided 99 % bounds, and how much data a decision needs."""

from __future__ import annotations

from math import ceil, hypot, log, log1p, sqrt
from typing import Final

import numpy as np
from scipy.special import betaincinv, ndtri, stdtrit

ALPHA: Final = 0.01
CONFIDENCE: Final = 0.99
TIE: Final = 1e-12  # a bound that is the limit is within it, whatever the last digit of a quantile says
BLOCK_NS: Final = 10_000_000_000
SHORT_BLOCK_NS: Final = 1_000_000_000  # of live runs that are too short for thirty blocks of ten seconds
MIN_BLOCKS: Final = 30
_Z: Final = float(ndtri(CONFIDENCE))
_MOST: Final = 10**9  # nobody waits for more

Interval = tuple[float, float]


def clopper_pearson(failures: int, trials: int) -> Interval:
    """Exact one-sided 99 % lower and upper bounds of a share (Clopper & Pearson 1934, as quantiles of the beta).

    Each bound holds with 99 % by itself. No trials say nothing: (0, 1).
    """
    if not 0 <= failures <= trials:
        raise ValueError(f"{failures} of {trials} is not a count")
    if trials == 0:
        return 0.0, 1.0
    lower = 0.0 if failures == 0 else float(betaincinv(failures, trials - failures + 1, ALPHA))
    upper = 1.0 if failures == trials else float(betaincinv(failures + 1, trials - failures, CONFIDENCE))
    return lower, upper


def wilson(failures: int, trials: int) -> Interval:
    """One-sided 99 % score bounds of a share (Wilson, JASA 22, 1927). No trials say nothing: (0, 1)."""
    if trials == 0:
        return 0.0, 1.0
    share, spare = failures / trials, _Z**2 / trials
    middle = share + spare / 2
    reach = _Z * sqrt(share * (1 - share) / trials + spare / (4 * trials))
    return max(0.0, (middle - reach) / (1 + spare)), min(1.0, (middle + reach) / (1 + spare))


def difference(one: tuple[int, int], other: tuple[int, int]) -> Interval:
    """One-sided 99 % bounds of the first share less the second (Newcombe's hybrid of score bounds).

    Newcombe, Interval estimation for the difference between independent proportions, Statist. Med. 17 (1998), no. 10.

    Args:
        one: (failures, trials), at least one trial.
        other: the same.
    """
    (p, q), (low, high), (below, above) = (k / n for k, n in (one, other)), wilson(*one), wilson(*other)
    reach_down, reach_up = hypot(p - low, above - q), hypot(high - p, q - below)
    return p - q - reach_down, p - q + reach_up


def block_interval(failures: np.ndarray, trials: np.ndarray) -> Interval | None:
    """One-sided 99 % bounds that allow replies close in time to fail together; None under 30 blocks.

    The linearised variance of a ratio over blocks (Cochran, Sampling Techniques, 3rd ed., 2.39), with Student's t.

    Args:
        failures: int[b], failures per 10 s block.
        trials: int[b], trials per block, each at least 1.
    """
    blocks = len(trials)
    if blocks < MIN_BLOCKS:
        return None
    total = float(trials.sum())
    share = float(failures.sum()) / total
    residual = failures - share * trials
    error = float(np.sqrt(blocks / (blocks - 1) * float((residual**2).sum()))) / total
    reach = float(stdtrit(blocks - 1, CONFIDENCE)) * error
    return max(0.0, share - reach), min(1.0, share + reach)


def wider(a: Interval, b: Interval) -> Interval:
    """The more cautious of each bound."""
    return min(a[0], b[0]), max(a[1], b[1])


def zero_failures_needed(limit: float) -> int:
    """The smallest n at which no failure at all proves a share of at most `limit` (0 < limit < 1)."""
    return ceil(log(ALPHA) / log1p(-limit))


def deciding_trials(failures: int, trials: int, limit: float) -> int | None:
    """About how many trials would decide, should failures go on at the observed rate; None if no number would.

    Args:
        failures: Observed failures.
        trials: Observed trials, at least 1.
        limit: The largest share allowed.
    """
    rate = failures / trials
    if rate == limit or (failures == 0 and limit <= 1 / _MOST):
        return None
    if failures == 0:
        return zero_failures_needed(limit)

    def decided(n: int) -> bool:
        lower, upper = clopper_pearson(min(n, round(rate * n)), n)
        return upper <= limit + TIE if rate < limit else lower > limit + TIE

    low, high = trials, trials
    while not decided(high):
        low, high = high, high * 2
        if high > _MOST:
            return None
    while high - low > max(1, low // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if decided(middle) else (middle, high)
    return high

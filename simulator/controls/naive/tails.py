"""Binomial tails by summing probabilities: what the naive judge holds against the checks' beta quantiles.

The upper Clopper-Pearson bound is at most L exactly if seeing so few failures at a share of L is a 1 % event, and
the lower bound is above L exactly if seeing so many is. So tails at L decide, without any inversion.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import exp, fsum, lgamma, log, log1p, sqrt
from typing import Final

from scipy.special import stdtr

from simulator.verdict import Status

ALPHA: Final = 0.01
TIE: Final = 1e-9  # relative: a tail of exactly 1 % makes the bound the limit itself, which is within it
BLOCK_NS: Final = 10 * 10**9


def _probabilities(trials: int, share: float) -> Iterator[float]:
    """P(X = k) for k = 0, 1, …, trials."""
    whole = lgamma(trials + 1)
    for k in range(trials + 1):
        yield exp(whole - lgamma(k + 1) - lgamma(trials - k + 1) + k * log(share) + (trials - k) * log1p(-share))


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many failures of `trials` are still allowed (-1: not even none), and how many it takes to be refused.

    `red` is trials + 1 where no number of failures is refused.
    """

    trials: int
    allowed: int
    red: int


@lru_cache(maxsize=256)
def sizes(trials: int, limit: float) -> Sizes:
    """The two borders of a share of at most `limit` at 99 % confidence (S5)."""
    if limit >= 1.0:
        return Sizes(trials, trials, trials + 1)
    if limit <= 0.0:
        return Sizes(trials, -1, 1)
    allowed, below, red = -1, 0.0, trials + 1
    for k, probability in enumerate(_probabilities(trials, limit)):
        # `below` is P(X < k): refused if P(X ≥ k) is a 1 % event.
        if 1.0 - below < ALPHA * (1 - TIE):
            red = k
            break
        below += probability
        if below <= ALPHA * (1 + TIE):
            allowed = k
    return Sizes(trials, allowed, min(red, trials + 1))


def by_tails(failures: int, trials: int, limit: float) -> Status:
    """What the exact interval says."""
    found = sizes(trials, limit)
    if failures <= found.allowed:
        return Status.PASS
    return Status.FAIL if failures >= found.red else Status.UNKNOWN


def by_blocks(moments: Sequence[int], failed: Sequence[bool], limit: float, length_ns: int = BLOCK_NS) -> Status:
    """What blocks in time say (replies of a live run are not independent); UNKNOWN under 30 of them."""
    blocks: dict[int, list[int]] = {}
    for at, bad in zip(moments, failed, strict=True):
        block = blocks.setdefault(at // length_ns, [0, 0])
        block[0] += bad
        block[1] += 1
    count = len(blocks)
    if count < 30:  # noqa: PLR2004 - S5
        return Status.UNKNOWN
    total = sum(n for _, n in blocks.values())
    share = sum(k for k, _ in blocks.values()) / total
    spread = fsum((k - share * n) ** 2 for k, n in blocks.values()) * count / (count - 1)
    reach = student(count - 1) * sqrt(spread) / total
    if min(1.0, share + reach) <= limit:
        return Status.PASS
    return Status.FAIL if share - reach > limit else Status.UNKNOWN


def student(freedom: int) -> float:
    """The 99 % quantile of Student's t, by halving."""
    low, high = 0.0, 1000.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if float(stdtr(freedom, middle)) < 1 - ALPHA else (low, middle)
    return high

"""Rates that must stay near what training or experience says, each with its own detector, judged every tick."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from reference_service.monitor.bank import RateBank
from reference_service.monitor.eprocess import RateDetector
from reference_service.policy import Policy


def detector(policy: Policy, reference: float) -> RateDetector:
    """A detector of a rate above its reference."""
    tolerated, normal = _levels(policy, reference, policy.rate_excess)
    return RateDetector(
        tolerated, normal, alpha=policy.alpha, calm_looks=_calm_looks(policy), calm_rows=policy.calm_rows
    )


def bank(policy: Policy, rates: Iterable[tuple[tuple[int, int, int], float, float]]) -> RateBank:
    """The same for many: what each is of (see `RateBank`), its reference, and the excess that is tolerated."""
    of, references, excesses = zip(*rates, strict=True)
    tolerated, normal = zip(*map(partial(_levels, policy), references, excesses), strict=True)
    looks, rows = _calm_looks(policy), policy.calm_rows
    return RateBank(of, tolerated, normal, alpha=policy.alpha, calm_looks=looks, calm_rows=rows)


def _levels(policy: Policy, reference: float, excess: float) -> tuple[float, float]:
    """(tolerated, normal): a factor and an excess are tolerated, half of the excess is normal."""
    most = reference * policy.rate_factor
    return min(0.9, most + excess), min(0.9, most + excess / 2)


def _calm_looks(policy: Policy) -> int:
    return max(1, policy.calm_ns // policy.tick_ns)


class Rate:
    """The detector of a pair of running totals: each look takes what was added since the last one.

    Args:
        policy: thresholds.
        reference: expected rate.
        seen: total before the first look.
    """

    __slots__ = ("_bad", "_total", "detector")

    def __init__(self, policy: Policy, reference: float = 0.0, *, seen: int = 0) -> None:
        self.detector = detector(policy, reference)
        self._bad = 0
        self._total = seen

    def look(self, bad: int, total: int) -> bool:
        """Judge totals so far; says whether the alarm stands."""
        new_bad, new_total = bad - self._bad, total - self._total
        self._bad, self._total = bad, total
        return self.detector.look(new_bad, new_total)

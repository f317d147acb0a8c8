"""Rates that must stay near what training or experience says, each with its own detector, judged every tick."""

from __future__ import annotations

from reference_service.monitor.eprocess import RateDetector
from reference_service.policy import Policy


def detector(policy: Policy, reference: float, excess: float | None = None) -> RateDetector:
    """A detector of a rate above its reference: a factor and an excess are tolerated, half of that is normal."""
    excess = policy.rate_excess if excess is None else excess
    tolerated = min(0.9, reference * policy.rate_factor + excess)
    normal = min(0.9, reference * policy.rate_factor + excess / 2)
    return RateDetector(
        tolerated,
        normal,
        alpha=policy.alpha,
        calm_looks=max(1, policy.calm_ns // policy.tick_ns),
        calm_rows=policy.calm_rows,
    )


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

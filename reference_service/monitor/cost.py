"""What a thousand predictions cost their owner: CPU time of this process, at the price of a CPU hour."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from reference_service.monitor.alerts import Condition
from reference_service.policy import Policy

Meter = Callable[[], int]
_HOUR_NS: Final = 3600 * 1_000_000_000
_THOUSAND: Final = 1000  # predictions; what fewer cost says nothing of the next


class Cost:
    """CPU time and predictions since the start, and over the last thousand predictions or more.

    Args:
        policy: price, budget and owner.
        meter: CPU nanoseconds of this process so far.
    """

    __slots__ = ("_from", "_meter", "_over", "_policy", "_started_ns", "predictions", "recent")

    def __init__(self, policy: Policy, meter: Meter = time.process_time_ns) -> None:
        self._policy = policy
        self._meter = meter
        self._started_ns = meter()
        self._from = (self._started_ns, 0)
        self._over = False
        self.predictions = 0
        self.recent: float | None = None  # CPU seconds per thousand predictions

    def tick(self, predictions: int) -> list[Condition]:
        """Take in how many predictions there have been in all; says whether they are over budget."""
        self.predictions = predictions
        then_ns, before = self._from
        if predictions - before >= _THOUSAND:  # asked no sooner: the meter is a system call
            now_ns = self._meter()
            self.recent = (now_ns - then_ns) / 1e9 / (predictions - before) * _THOUSAND
            self._from = (now_ns, predictions)
        policy = self._policy
        if not policy.cost_budget:
            return []
        price = self.price(self.recent or 0.0)
        summary = f"a thousand predictions cost {price:.3g}, the budget is {policy.cost_budget:.3g}"
        return [Condition("over_budget", policy.owner, "ticket", price > policy.cost_budget, summary, policy.owner)]

    @property
    def cpu_seconds(self) -> float:
        """Since the start."""
        return (self._meter() - self._started_ns) / 1e9

    def price(self, cpu_seconds: float) -> float:
        """In the currency of the price of a CPU hour."""
        return cpu_seconds * 1e9 / _HOUR_NS * self._policy.cpu_hour_price

    def view(self) -> dict[str, Any]:
        """For the owner."""
        spent = self.cpu_seconds
        whole = spent / self.predictions * _THOUSAND if self.predictions else None
        return {
            "owner": self._policy.owner,
            "predictions": self.predictions,
            "cpu_seconds": spent,
            "cpu_seconds_per_1000": whole,
            "recent_cpu_seconds_per_1000": self.recent,
            "cost_per_1000": None if whole is None else self.price(whole),
            "budget_per_1000": self._policy.cost_budget or None,
        }

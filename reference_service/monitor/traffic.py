"""The monitors of what is answered: contract breaches by field, fallbacks, shedding, dependencies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from reference_service.guards.dependency import Dependency
from reference_service.monitor.alerts import Condition, Severity
from reference_service.monitor.counters import Counters
from reference_service.monitor.keeping import keep, recall
from reference_service.monitor.rates import Rate
from reference_service.policy import Policy


class TrafficMonitors:
    """Rates over the running counters.

    Args:
        counters: what the pipeline counts.
        policy: thresholds.
    """

    def __init__(self, counters: Counters, policy: Policy) -> None:
        self._counters = counters
        self._policy = policy
        self._rates: dict[tuple[str, str], Rate] = {}
        self._rows = 0  # at the last tick

    def tick(self, dependencies: Sequence[tuple[str, Dependency]]) -> list[Condition]:
        """Judge every rate. `dependencies` are (name as alerts call it, what is called)."""
        counters = self._counters
        found = [
            *self._family("invalid_rate", "page", counters.invalid, "with a wrong type or out of range"),
            *self._family("schema_change", "page", counters.missing, "without this field"),
            *self._family("schema_change", "ticket", counters.unknown, "with this unknown field"),
            self._one("fallback_rate", "", "page", counters.fallbacks, counters.answers, "answered by fallback"),
            self._one("load_shedding", "", "page", counters.shed, counters.arrived, "shed"),
        ]
        self._rows = counters.rows
        for name, dependency in dependencies:
            # Counted by the dependency's own name: after a swap, the model is another one.
            unusable = self._one(
                "dependency_down", dependency.name, "page", dependency.unusable, dependency.calls, "without an answer"
            )
            # An open breaker is down by decision, also where too few calls were made to prove it.
            firing = unusable.firing or dependency.breaker.state != "closed"
            found.append(Condition("dependency_down", name, "page", firing, unusable.summary))
        return found

    def keep(self) -> list[Any]:
        """Every rate's evidence, for a restart; the counters begin again at 0."""
        return [[*key, keep(rate.detector)] for key, rate in self._rates.items()]

    def recall(self, kept: list[Any]) -> None:
        """The reverse of `keep`."""
        for name, field, state in kept:
            self._rates[name, field] = rate = Rate(self._policy)
            recall(rate.detector, state)

    def _family(self, name: str, severity: Severity, bad: Counter[str], what: str) -> list[Condition]:
        total, seen = self._counters.rows, self._rows
        return [self._one(name, field, severity, count, total, what, seen=seen) for field, count in bad.items()]

    def _one(  # noqa: PLR0917  # a table's columns, in the order of the table above
        self, name: str, field: str, severity: Severity, bad: int, total: int, what: str, *, seen: int = 0
    ) -> Condition:
        key = (name, field)
        rate = self._rates.get(key)
        if rate is None:
            # A field's detector is born when the field first fails: it judges what came since the last tick.
            rate = self._rates[key] = Rate(self._policy, seen=seen)
        firing = rate.look(bad, total)
        return Condition(name, field, severity, firing, f"{rate.detector.rate:.1%} {what}" if firing else "")

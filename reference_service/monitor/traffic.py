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
        """Judge every rate; what fires. `dependencies` are (name as alerts call it, what is called)."""
        counters, rates = self._counters, self._rates
        found: list[Condition] = []
        if counters.invalid:
            self._family(found, "invalid_rate", "page", counters.invalid, "with a wrong type or out of range")
        if counters.missing:
            self._family(found, "schema_change", "page", counters.missing, "without this field")
        if counters.unknown:
            self._family(found, "schema_change", "ticket", counters.unknown, "with this unknown field")
        rate = rates.get(("fallback_rate", "")) or self._rate("fallback_rate", "")
        if rate.look(counters.fallbacks, counters.answers):
            summary = _summary(rate, "answered by fallback")
            found.append(Condition("fallback_rate", "", "page", firing=True, summary=summary))
        rate = rates.get(("load_shedding", "")) or self._rate("load_shedding", "")
        if rate.look(counters.shed, counters.arrived):
            found.append(Condition("load_shedding", "", "page", firing=True, summary=_summary(rate, "shed")))
        self._rows = counters.rows
        for name, dependency in dependencies:
            # Counted by the dependency's own name: after a swap, the model is another one.
            rate = self._rate("dependency_down", dependency.name)
            firing = rate.look(dependency.unusable, dependency.calls)
            # An open breaker is down by decision, also where too few calls were made to prove it.
            if firing or dependency.breaker.state != "closed":
                summary = _summary(rate, "without an answer") if firing else ""
                found.append(Condition("dependency_down", name, "page", firing=True, summary=summary))
        return found

    def keep(self) -> list[Any]:
        """Every rate's evidence, for a restart; the counters begin again at 0."""
        return [[*key, keep(rate.detector)] for key, rate in self._rates.items()]

    def recall(self, kept: list[Any]) -> None:
        """The reverse of `keep`."""
        for name, field, state in kept:
            self._rates[name, field] = rate = Rate(self._policy)
            recall(rate.detector, state)

    def _family(self, found: list[Condition], name: str, severity: Severity, bad: Counter[str], what: str) -> None:
        for field, count in bad.items():
            # A field's detector is born when the field first fails: it judges what came since the last tick.
            rate = self._rate(name, field, seen=self._rows)
            if rate.look(count, self._counters.rows):
                found.append(Condition(name, field, severity, firing=True, summary=_summary(rate, what)))

    def _rate(self, name: str, field: str, *, seen: int = 0) -> Rate:
        key = (name, field)
        rate = self._rates.get(key)
        if rate is None:
            rate = self._rates[key] = Rate(self._policy, seen=seen)
        return rate


def _summary(rate: Rate, what: str) -> str:
    return f"{rate.detector.rate:.1%} {what}"

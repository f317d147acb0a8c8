"""Whether a scenario fits its target: alerts that it can send, by names, severities and routes that it declares.

An alert that nobody can send is never heard of: `no_alert` would be green for ever, and `alert` would blame the service
for a slip of the pen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from simulator.scenario.document import Flaw
from simulator.scenario.errors import suggest
from simulator.scenario.families import AlertIs
from simulator.scenario.model import Scenario
from simulator.targets.model import POLLED, Target


def flaws(scenario: Scenario, target: Target) -> Iterator[Flaw]:
    """Every alert that an expectation names and the target does not. What a target does not declare is not checked."""
    alerts = target.alerts
    if alerts is None:
        return
    routes = (*alerts.receive, *((POLLED,) if alerts.poll is not None else ()))
    declared: dict[str, Sequence[str]] = {"name": alerts.names, "severity": alerts.severities, "route": routes}
    for index, expectation in enumerate(scenario.then):
        asked = expectation.params
        if not isinstance(asked, AlertIs):
            continue
        for key, known in declared.items():
            given = getattr(asked, key)
            if given is not None and known and given not in known:
                where = ("then", index, expectation.family, key)
                plural = {"name": "names", "severity": "severities", "route": "routes"}[key]
                message = f"the target sends no alert of the {key} `{given}`"
                yield Flaw(f"unknown-{key}", message, where, suggest(given, known, plural))

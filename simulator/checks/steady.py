"""The steady state before anything happens (S9): judged over the second half of the warm-up, by plain shares.

Not an expectation but a condition for going on, so no interval: the data of half a warm-up seldom prove a limit,
and what is at stake is only whether to inject. Nothing seen is not steady.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from simulator.checks import baseline, words
from simulator.scenario.model import Scenario, Steady
from simulator.scenario.quantities import show_duration, show_share


class Warmup(Protocol):
    """What a driver counted in the second half of the warm-up."""

    @property
    def scheduled(self) -> int:
        """Requests scheduled."""

    @property
    def errors(self) -> int:
        """Of those, failed as S5 counts failures."""

    @property
    def latencies_ns(self) -> Sequence[int]:
        """Of those answered, from the scheduled send, ns."""

    @property
    def alerts_firing(self) -> Sequence[str]:
        """Alerts that fired at some time of it."""

    @property
    def versions(self) -> Sequence[str]:
        """All that answers named in it, before the first event."""


def steadiness(scenario: Scenario, warmup: Warmup) -> tuple[bool, str]:
    """Whether every condition of ``given.steady_state`` holds, and why not: all the reasons at once.

    Where the version that serves matters, a service that another one serves is not to be touched either.
    """
    reasons = [reason for state in scenario.given.steady_state if (reason := _unmet(state, warmup))]
    if baseline.stated(scenario) or any(baseline.depends(expectation) for expectation in scenario.then):
        reasons += filter(None, [baseline.stranger(scenario, warmup.versions)])
    return not reasons, "; ".join(reasons)


def _unmet(state: Steady, warmup: Warmup) -> str:
    if state.no_alert is not None:
        return f"alerts: {', '.join(warmup.alerts_firing)}" if warmup.alerts_firing else ""
    if warmup.scheduled == 0:
        return "no request was scheduled in the second half of the warm-up"
    if state.error_rate is not None:
        found = warmup.errors / warmup.scheduled
        allowed = state.error_rate.max
        return f"error rate {words.share(found)}, allowed {show_share(allowed)}" if found > allowed else ""
    if state.latency is None:
        return ""
    quantile, limit_ns = state.latency.quantile
    # A request without an answer is over every limit.
    failed = max(warmup.errors, 0)
    over = sum(latency > limit_ns for latency in warmup.latencies_ns) + failed
    trials = len(warmup.latencies_ns) + failed
    if trials == 0 or over > (1 - quantile) * trials * (1 + 1e-9):
        return f"{over} of {trials} requests over {show_duration(limit_ns)}, allowed {show_share(1 - quantile)}"
    return ""

"""S9: the condition for going on after the warm-up."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from histories import scenario

from simulator.checks.steady import steadiness

MS = 10**6


@dataclass
class Seen:
    scheduled: int = 1000
    errors: int = 0
    latencies_ns: tuple[int, ...] = field(default=(MS,) * 1000)
    alerts_firing: tuple[str, ...] = ()
    versions: tuple[str, ...] = ("v1",)


ERRORS, FAST, QUIET = {"error_rate": {"max": "0.1%"}}, {"latency": {"p95": "10ms"}}, {"no_alert": "any"}


@pytest.mark.parametrize(
    ("state", "seen", "holds"),
    [
        (ERRORS, Seen(), True),
        (ERRORS, Seen(errors=1), True),
        (ERRORS, Seen(errors=2), False),
        (ERRORS, Seen(scheduled=0, latencies_ns=()), False),
        (FAST, Seen(), True),
        (FAST, Seen(latencies_ns=(MS,) * 950 + (11 * MS,) * 50), True),
        (FAST, Seen(latencies_ns=(MS,) * 949 + (11 * MS,) * 51), False),
        (FAST, Seen(errors=51, latencies_ns=(MS,) * 949), False),
        (FAST, Seen(latencies_ns=()), False),
        (QUIET, Seen(), True),
        (QUIET, Seen(alerts_firing=("feature_drift",)), False),
    ],
)
def test_steady_states(state, seen, holds):
    found, why = steadiness(scenario(steady_state=[state]), seen)
    assert found is holds
    assert bool(why) is not holds


def test_all_reasons_at_once_and_none_without_a_condition():
    seen = Seen(errors=100, alerts_firing=("feature_drift",))
    assert steadiness(scenario(steady_state=[]), seen) == (True, "")
    _, why = steadiness(scenario(steady_state=[ERRORS, QUIET]), seen)
    assert "error rate 10%" in why
    assert "feature_drift" in why

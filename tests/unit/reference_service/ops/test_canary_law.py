"""What alpha promises, on seeded days of traffic; `python -m benchmarks.canary` asks the same of a thousand."""

from __future__ import annotations

import math

import pytest

from benchmarks import canary
from reference_service.policy import Policy
from reference_service.release.judge import Ownership
from simulator.checks.statistics import clopper_pearson

LENIENT = Policy(canary_alpha=0.05)  # at 1e-3, no number of days that a test can afford would show a broken promise
SEEDS, HOURS = 60, 6.0


def test_a_canary_as_bad_as_is_tolerated_is_taken_back_no_more_often_than_alpha_promises():
    taken = canary.harmless(canary.shipped(LENIENT), SEEDS, ratio=LENIENT.canary_ratio, hours=HOURS)
    assert clopper_pearson(taken, SEEDS)[0] <= LENIENT.canary_alpha


def test_the_same_model_in_both_arms_is_left_alone():
    assert canary.harmless(canary.shipped(Policy()), 20, hours=HOURS) == 0


def test_a_p_value_that_is_peeked_at_breaks_its_promise_on_the_same_days():
    taken = canary.harmless(canary.peeked(0.05), SEEDS, hours=HOURS)
    assert clopper_pearson(taken, SEEDS)[0] > 0.05


def test_a_judge_that_forgets_the_tolerated_ratio_is_seen(monkeypatch):
    begin = Ownership.__init__
    monkeypatch.setattr(Ownership, "__init__", lambda self, _: begin(self, 1.0))
    taken = canary.harmless(canary.shipped(LENIENT), SEEDS, ratio=LENIENT.canary_ratio, hours=HOURS)
    assert clopper_pearson(taken, SEEDS)[0] > LENIENT.canary_alpha


# Seconds that the design claims as p95, with room for a few seeds; half as long again is as many late answers as 1 %.
WITHIN = {"errors 1 %": 600, "errors 2 %": 240, "errors 5 %": 80, "latency +50 %": 600}


@pytest.mark.parametrize("harm", WITHIN)
def test_a_harmful_canary_is_found_in_time(harm):
    times = canary.detection(canary.shipped(Policy()), 40, canary.HARM[harm])
    assert times[math.ceil(0.95 * 40) - 1] <= WITHIN[harm]

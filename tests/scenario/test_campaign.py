"""A few seeds of the campaigns that `benchmarks.benign` and `benchmarks.canary` run by the hundred."""

from __future__ import annotations

import pytest
import saboteurs

from benchmarks import benign, canary
from reference_service.policy import Policy
from reference_service.release.judge import CanaryJudge
from simulator.checks.statistics import clopper_pearson


@pytest.mark.slow
def test_clean_seeds_are_certified():
    (morning,) = benign.days("an_ordinary_morning")
    assert benign.tried(morning, range(1, 6)).certified == 5


def test_peeked_p_values_break_the_promise_on_days_on_which_the_judge_keeps_it(monkeypatch):
    def taken():
        return canary.harmless(canary.shipped(Policy(canary_alpha=0.05)), 40, hours=6.0)

    assert clopper_pearson(taken(), 40)[0] <= 0.05
    for name in ("__init__", "request"):
        monkeypatch.setattr(CanaryJudge, name, getattr(CanaryJudge, name))  # to have them back afterwards
    saboteurs.peeked_p_values.sabotage()
    assert clopper_pearson(taken(), 40)[0] > 0.05

"""S5: the numbers of the law, and the coverage that the bounds promise."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from simulator.checks.evaluators import Ballot, Limit, interval_of, share
from simulator.checks.statistics import BLOCK_NS, block_interval, clopper_pearson, deciding_trials, zero_failures_needed
from simulator.verdict import Status


def ballot(failures: int, trials: int, **more) -> Ballot:
    failed = np.arange(trials) < failures
    at = np.arange(trials) * 10**9
    return Ballot(at, failed, "requests", lambda i: f"request {i}", **more)


@pytest.mark.parametrize(("limit", "needed"), [(0.001, 4603), (0.005, 919), (0.01, 459), (0.05, 90)])
def test_zero_failures_needed(limit, needed):
    assert zero_failures_needed(limit) == needed
    assert share(ballot(0, needed), Limit(limit)).status is Status.PASS
    assert share(ballot(0, needed - 1), Limit(limit)).status is Status.UNKNOWN


@pytest.mark.parametrize(("minimum", "needed"), [(0.99, 459), (0.95, 90)])
def test_a_minimum_mirrors_a_maximum(minimum, needed):
    assert share(ballot(0, needed), Limit.at_least(minimum)).status is Status.PASS
    assert share(ballot(0, needed - 1), Limit.at_least(minimum)).status is Status.UNKNOWN


@pytest.mark.parametrize("true_share", [0.004, 0.05, 0.3, 0.9])
@pytest.mark.parametrize("trials", [20, 80])
def test_each_bound_covers_in_99_of_100(true_share, trials):
    above = below = 0.0
    for k in range(trials + 1):
        probability = comb(trials, k) * true_share**k * (1 - true_share) ** (trials - k)
        lower, upper = clopper_pearson(k, trials)
        below += probability * (lower <= true_share)
        above += probability * (upper >= true_share)
    assert min(above, below) >= 0.99 - 1e-12


def test_extremes():
    assert clopper_pearson(0, 0) == (0.0, 1.0)
    assert clopper_pearson(0, 10)[0] == 0.0
    assert clopper_pearson(10, 10)[1] == 1.0
    with pytest.raises(ValueError, match="11 of 10"):
        clopper_pearson(11, 10)


def test_the_number_that_would_decide_decides():
    for failures, trials, limit in ((3, 900, 0.01), (10, 1000, 0.005), (0, 100, 0.01)):
        needed = deciding_trials(failures, trials, limit)
        assert needed is not None
        assert needed > trials
        decided = share(ballot(round(failures / trials * needed), needed), Limit(limit))
        assert decided.status is not Status.UNKNOWN
    assert deciding_trials(1, 100, 0.01) is None  # at the limit itself nothing ever decides


def test_replies_of_a_live_run_that_fail_in_bursts_decide_nothing():
    failures, trials = 30, 1200
    spread = np.zeros(trials, bool)
    spread[:: trials // failures] = True
    burst = np.arange(trials) < failures
    at = np.arange(trials) * 10**9
    limit = Limit(0.04)
    even = Ballot(at, spread, "requests", str, block_ns=BLOCK_NS)
    bursty = Ballot(at, burst, "requests", str, block_ns=BLOCK_NS)
    assert share(even, limit).status is Status.PASS
    assert share(bursty, limit).status is Status.UNKNOWN
    assert share(Ballot(at, burst, "requests", str), limit).status is Status.PASS
    exact, wide = interval_of(Ballot(at, burst, "requests", str)), interval_of(bursty)
    assert exact is not None
    assert wide is not None
    assert wide[0] <= exact[0] < exact[1] <= wide[1]


def test_a_live_run_needs_thirty_blocks():
    assert block_interval(np.zeros(29), np.full(29, 10)) is None
    assert block_interval(np.zeros(30), np.full(30, 10)) == (0.0, 0.0)
    finding = share(ballot(0, 280, block_ns=BLOCK_NS), Limit(0.05))
    assert finding.status is Status.UNKNOWN
    assert "30 blocks" in finding.why


def test_an_empty_selection_is_unknown():
    finding = share(ballot(0, 0), Limit(0.5))
    assert finding.status is Status.UNKNOWN
    assert finding.why.startswith("empty selection")


def test_margins_are_headroom_as_a_share_of_the_limit():
    assert share(ballot(25, 1000), Limit(0.05)).margin == pytest.approx(0.5)
    assert share(ballot(100, 1000), Limit(0.05)).margin == pytest.approx(-1.0)
    assert share(ballot(5, 1000), Limit.at_least(0.99)).margin == pytest.approx(0.5)

"""A group that is served worse than the others is told; bad luck, an outage and a small group are not."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import MINUTE, SECOND, START, LinearBundle, plain, run
from scipy.stats import beta

from reference_service.bounds import lower, upper
from reference_service.core.cells import N_CELLS
from reference_service.monitor.groups import GroupMonitor
from reference_service.policy import Policy

POLICY = Policy(group_field="method")
TOTALS = np.array([900, 400, 150])  # card, wallet, transfer


def windows(bad, count=8, totals=TOTALS):
    """Whether the alert stands after each window; `bad(k)` are rates by group."""
    monitor, draw, stands = GroupMonitor(LinearBundle(), POLICY, START), np.random.default_rng(1), []
    for k in range(1, count + 1):
        counts = np.zeros((5, N_CELLS), dtype=np.int64)
        counts[2, :3] = totals
        for group, rate in enumerate(bad(k)):
            monitor.degraded[float(group)] += int(draw.binomial(totals[group], rate))
        (condition,) = monitor.tick(START + k * POLICY.window_ns, counts)
        stands.append(condition.firing)
    return stands, monitor.worst


def test_a_group_that_is_always_imputed_is_told_in_the_second_window_and_ends_in_the_third_calm_one():
    stands, worst = windows(lambda k: (0.01, 0.01, 1.0 if k <= 3 else 0.01))
    assert stands == [False, True, True, True, True, False, False, False]
    assert worst == "transfer"


def test_what_stood_before_a_restart_stands_at_the_first_tick_after_it():
    before, after = (GroupMonitor(LinearBundle(), POLICY, START) for _ in range(2))
    for k in (1, 2):
        counts = np.zeros((5, N_CELLS), dtype=np.int64)
        counts[2, :3] = TOTALS
        before.degraded[2.0] = 150
        told = before.tick(START + k * POLICY.window_ns, counts)
    assert told[0].firing
    after.recall(before.keep())
    assert after.tick(START + 2 * POLICY.window_ns + POLICY.tick_ns, np.zeros_like(counts)) == told


def test_an_outage_that_hits_everybody_is_unfair_to_nobody():
    assert not any(windows(lambda _: (0.9, 0.9, 0.9))[0])


def test_within_the_gap_nobody_is_told_and_a_handful_of_rows_prove_nothing():
    assert not any(windows(lambda _: (0.02, 0.02, 0.06))[0])
    assert not any(windows(lambda _: (0.0, 0.0, 1.0), totals=np.array([900, 400, 2]))[0])


def test_a_month_of_luck_tells_nobody():
    assert not any(windows(lambda _: (0.05, 0.05, 0.05), count=2_000)[0])


@pytest.mark.parametrize(("bad", "total"), [(0, 10), (3, 10), (10, 10), (7, 5000)])
def test_bounds_are_clopper_and_pearsons(bad, total):
    k, n = np.array(bad), np.array(total)
    assert lower(k, n, 0.01) == pytest.approx(beta.ppf(0.01, bad, total - bad + 1) if bad else 0.0)
    assert upper(k, n, 0.01) == pytest.approx(beta.ppf(0.99, bad + 1, total - bad) if bad < total else 1.0)


def test_the_service_tells_of_a_group_whose_requests_it_cannot_answer_by_the_model(harness):
    async def body():
        h = harness(policy={"group_field": "method", "window_ns": 20 * SECOND})
        row = lambda k: {**plain(k), "foreign": None} if plain(k)["method"] == "wallet" else plain(k)  # noqa: E731
        await h.traffic(60, row, per_second=30)
        assert [a["labels"]["field"] for a in h.alerts(name="fairness")] == ["method"]
        calm = harness(policy={"group_field": "method", "window_ns": 20 * SECOND})
        await calm.traffic(60, plain, per_second=30)
        assert calm.alerts() == []

    run(body())


def test_a_policy_that_names_no_field_compares_nobody():
    monitor = GroupMonitor(LinearBundle(), Policy(), START)
    assert monitor.tick(START + 10 * MINUTE, np.zeros((5, N_CELLS), dtype=np.int64)) == []

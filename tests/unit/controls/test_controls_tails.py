"""The naive judge's binomial tails, against the beta quantiles of the checks."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.checks.evaluators import Ballot, Limit, share
from simulator.checks.statistics import BLOCK_NS
from simulator.controls.naive.tails import by_blocks, by_tails, sizes
from simulator.verdict import Status

LIMITS = (0.0, 0.001, 0.01, 0.05, 0.3, 0.99, 1.0)


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("trials", [1, 7, 90, 459, 1000])
def test_sizes_are_the_borders_of_the_interval(trials, limit):
    def status(failures):
        failed = np.arange(trials) < failures
        return share(Ballot(np.zeros(trials, int), failed, "rows", str), Limit(limit)).status

    found = sizes(trials, limit)
    assert found.allowed < found.red
    if found.allowed >= 0:
        assert status(found.allowed) is Status.PASS
    if found.allowed < trials:
        assert status(found.allowed + 1) is not Status.PASS
    if found.red <= trials:
        assert status(found.red) is Status.FAIL
    if 0 < found.red <= trials + 1:
        assert status(found.red - 1) is not Status.FAIL


@pytest.mark.parametrize(("limit", "needed"), [(0.001, 4603), (0.005, 919), (0.01, 459), (0.05, 90)])
def test_zero_failures_needed(limit, needed):
    assert by_tails(0, needed, limit) is Status.PASS
    assert by_tails(0, needed - 1, limit) is Status.UNKNOWN


def test_blocks_agree_with_the_checks():
    rng = np.random.default_rng(5)
    for rate in (0.0, 0.02, 0.05, 0.2):
        for _ in range(20):
            at = np.sort(rng.integers(0, 400 * 10**9, 300))
            failed = rng.random(300) < rate
            from_checks = share(Ballot(at, failed, "rows", str, block_ns=BLOCK_NS), Limit(0.05)).status
            exact = by_tails(int(failed.sum()), 300, 0.05)
            blocks = by_blocks(at.tolist(), failed.tolist(), 0.05)
            assert from_checks is (exact if exact is blocks else Status.UNKNOWN)

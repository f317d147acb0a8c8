"""The benign days in `days/` are collected and certified by the plugin; here is what no expectation says of them."""

from __future__ import annotations

import numpy as np

from simulator.scenario.quantities import MINUTE
from simulator.trial import history


def test_a_better_version_still_serves_at_the_end(grounds):
    verdict = grounds.trial("better_release")
    run = history(grounds.out("better_release"), verdict.cells[0])
    last = run.items["scheduled_ns"] >= run.header.end_ns - MINUTE
    share = np.mean(run.items["version"][last] == "v2")
    assert 0.15 <= share <= 0.35

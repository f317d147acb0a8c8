"""Benign days: nothing is wrong, or nothing that anybody should be woken for. None may be refused."""

from __future__ import annotations

import numpy as np
import pytest
import short

import seatrial
from simulator.scenario.quantities import MINUTE
from simulator.trial import history

DAYS = sorted(path.name.removesuffix(".scenario.yaml") for path in short.DAYS.glob("*.scenario.yaml"))


@pytest.mark.parametrize("day", DAYS)
def test_a_benign_day_is_certified(grounds, day):
    seatrial.assert_certified(grounds.trial(day))


def test_the_better_version_still_serves_at_the_end(grounds):
    verdict = grounds.trial("better_release")
    run = history(grounds.out("better_release"), verdict.cells[0])
    last = run.items["scheduled_ns"] >= run.header.end_ns - MINUTE
    share = np.mean(run.items["version"][last] == "v2")
    assert 0.05 <= share <= 0.15

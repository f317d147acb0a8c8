"""The benign days in `days/` are collected and certified by the plugin; here is what no expectation says of them."""

from __future__ import annotations

import numpy as np

import seatrial
from simulator.scenario.quantities import MINUTE
from simulator.trial import history
from simulator.verdict import Status


def test_a_better_version_still_serves_at_the_end(grounds):
    verdict = grounds.trial("better_release")
    run = history(grounds.out("better_release"), verdict.cells[0])
    last = run.items["scheduled_ns"] >= run.header.end_ns - MINUTE
    share = np.mean(run.items["version"][last] == "v2")
    assert 0.15 <= share <= 0.35


def test_a_service_that_reads_its_own_clock_does_not_notice_that_it_is_set(grounds):
    seatrial.assert_certified(grounds.trial("the_clock_is_set"))


def test_one_that_measures_by_the_time_of_day_falls_silent_when_the_clock_is_set_back(grounds):
    (cell,) = grounds.trial("the_clock_is_set", "saboteurs:trusts_the_time_of_day").cells
    found = {judged.id: judged.finding for judged in cell.judged}
    assert found["quiet"].status is Status.UNKNOWN
    assert "heartbeat" in found["quiet"].why
    assert found["bystanders"].status is not Status.PASS  # what was under way was out of time at once


def test_what_alertmanager_repeats_was_received_three_times_and_is_one_incident(grounds):
    verdict = grounds.trial("told_again", "scenarios.repeating:create_app")
    seatrial.assert_certified(verdict)
    run = history(grounds.out("told_again", "scenarios.repeating:create_app"), verdict.cells[0])
    assert [alert.firing for alert in run.alerts] == [True, True, True, False]

"""CPU time of a thousand predictions: what counts, and between which marks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from histories import edited, judged
from specimens import measured, where

from simulator.history.schema import Outcome
from simulator.verdict import Status


def cost(found, cpu="5s", **window):
    return judged({"cost": {"cpu": cpu}} | window, found)


def test_it_says_what_a_thousand_took():
    finding = cost(measured(4900))
    assert (finding.status, finding.observed, finding.n) == (Status.PASS, "4s900ms", 1740)  # to the mark at 29 minutes


def test_work_for_nobody_costs_those_who_were_answered():
    found = measured(4900)
    lost = edited(found, outcome=where(np.arange(1800) % 10 == 3, int(Outcome.TIMEOUT), "outcome", found))
    finding = cost(lost)
    assert finding.status is Status.FAIL
    assert finding.why == "8s526ms for 1566 predictions"


def test_only_what_lies_between_marks_in_the_window_counts():
    finding = judged({"cost": {"cpu": "5s", "min_rows": 100}, "after": "e", "within": "5m"}, measured(4900))
    assert (finding.status, finding.n) == (Status.PASS, 300)


def test_too_few_predictions_or_one_measurement_decide_nothing():
    assert "300 predictions between two marks" in cost(measured(4900), after="e", within="5m").why
    assert "was not measured twice" in cost(measured(4900, marks=1)).why


@pytest.mark.parametrize(
    ("at", "why"),
    [
        (slice(20, 30), "the CPU time of the service fell"),
        (slice(9, 13), "nobody measured"),
        (slice(9, 30), "restarted"),
    ],
)
def test_what_was_not_measured_is_not_cheap(at, why):
    """A service that died and came back counts from nothing; one that is not looked at does not count at all."""
    found = measured(4900)
    marks = [note for note in found.main.notes if note.kind == "cpu"]
    others = [note for note in found.main.notes if note.kind != "cpu"]
    if "fell" in why:
        marks = [*marks[:20], *(replace(note, data={"used_ns": 1}) for note in marks[at])]
    elif why == "restarted":  # and its start took longer than it had worked before
        marks = [*marks[:9], *(replace(note, data=note.data | {"session": 7}) for note in marks[at])]
    else:
        del marks[at]
    finding = cost(replace(found, main=replace(found.main, notes=(*others, *marks))))
    assert finding.status is Status.UNKNOWN
    assert why in finding.why

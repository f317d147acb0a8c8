"""What a thousand predictions take, and what a fault makes of the calls of others: what counts, between which marks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from histories import edited, judged
from specimens import called, measured, where

from simulator.history.schema import Outcome
from simulator.scenario.quantities import SECOND
from simulator.verdict import Status

AMPLIFICATION = {"amplification": {"to": "store", "times": 1.2}, "during": "e"}


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


@pytest.mark.parametrize("role", ["main", "twin"])
@pytest.mark.parametrize("why", ["the calls of store fell", "nobody measured the calls of store"])
def test_calls_that_nobody_counted_are_not_few(role, why):
    """A counter that began anew, or was not read while the storm lasted, says nothing of the storm."""
    found = called(12)
    history = getattr(found, role)
    late = [note for note in history.notes if note.kind == "calls" and note.at_ns > 900 * SECOND]
    kept = [note for note in history.notes if note not in late]
    begun = [replace(note, data={"store": 1}) for note in late] if "fell" in why else late[-1:]
    finding = judged(AMPLIFICATION, replace(found, **{role: replace(history, notes=(*kept, *begun))}))
    assert finding.status is Status.UNKNOWN
    assert why in finding.why


@pytest.mark.parametrize(
    "expectation", [{"cost": {"cpu": "5s", "min_rows": 100}}, {"amplification": AMPLIFICATION["amplification"]}]
)
def test_a_whole_span_that_nobody_looked_at_is_not_left_out(expectation):
    """Before the event somebody counted, and after it nobody did: half of `outside` is not the whole of it."""
    found = called(3) if "amplification" in expectation else measured(4900)
    kind = "calls" if "amplification" in expectation else "cpu"
    assert judged(expectation | {"outside": "e"}, found).status is Status.PASS
    kept = [note for note in found.main.notes if note.kind != kind or note.at_ns < 600 * SECOND]
    finding = judged(expectation | {"outside": "e"}, replace(found, main=replace(found.main, notes=tuple(kept))))
    assert finding.status is Status.UNKNOWN
    assert "nobody measured" in finding.why

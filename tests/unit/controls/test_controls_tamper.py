"""Grade T: every edit is seen as what it is, by the checks and by the naive judge; and it changes nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from histories import columns, edited, evidence, expectation, record, run
from specimens import SPECIMENS, where

from simulator.checks import evaluate
from simulator.controls import naive
from simulator.controls.case import Case
from simulator.controls.tamper import tamperings
from simulator.history.schema import Outcome
from simulator.scenario.model import FAMILIES
from simulator.verdict import Status

RED = {
    "alert": {"dropped", "relabelled", "onset at the deadline"},
    "resolved": {"never resolved", "resolved at the deadline", "fires again"},
    "no_alert": {"first instant", "last instant", "in the twin"},
    "labels_seen": {"labels at the onset", "never came"},
    "recovers": {"not before the deadline"},
    "rollback": {"at the deadline", "comes back", "lost in flight", "no other version"},
    "parity": {"changed", "missing", "swapped"},
    "idempotent": {"other score", "other version", "one fails"},
    "logged": {"other score", "another request", "dropped", "too often", "swapped", "blank under a seal"},
    "readiness": {"at the deadline"},
    "metered": {
        "too few",
        "more than were sent",
        "another version",
        "two versions",
        "endpoint",
        "series too many",
        "gauge is gone",
    },
    "reviewed": {"shown to nobody", "not taken", "another decision", "nothing stands"},
    "amplification": {"calls"},
    "refuses": {"accepted", "one reply by it"},
    "retrain": {
        "at the deadline",
        "never live",
        "before the canary",
        "no shadow",
        "no canary",
        "shadow 1 ns too short",
        "canary 1 ns too short",
        "nobody asked",
        "grew",
        "nobody hears it",
    },
    "group_errors": {"wrong about"},
    "better": {"scores are wrong", "other's name"},
    "cost": {"1 ns more"},
    "shadow": {"another score", "1 ns later", "shadow answers", "no answer"},
    "lossless": {"lost", "shed", "nobody knows"},
    "quality": {"just too far above", "just too far below", "counted twice"},
}


def case(family, found=None):
    specimen = SPECIMENS[family]
    found = specimen.passing if found is None else found
    court = naive.read(found.main, found.twin, found.aa, found.tolerance)
    it = specimen.scenario.then[0]
    return Case(it, specimen.scenario, found, court, naive.opinion(it, specimen.scenario, court))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_edit_is_seen_as_what_it_is(family):
    one = case(family)
    assert one.opinion.status is Status.PASS
    seen = set()
    for name, want, edit in tamperings(one):
        tampered = edit()
        assert evaluate(one.expectation, one.scenario, tampered).status is want, name
        court = naive.read(tampered.main, tampered.twin, tampered.aa, tampered.tolerance)
        assert naive.opinion(one.expectation, one.scenario, court).status is want, name
        seen.add((name, want))
    for words in RED.get(family, {"fail"}):
        assert any(words in name and want is Status.FAIL for name, want in seen), words
    assert any(want is Status.PASS for _, want in seen)
    assert any(name.startswith("premise") and want is Status.UNKNOWN for name, want in seen)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_evidence_itself_is_left_alone(family):
    one = case(family)
    before = {name: column.copy() for name, column in one.evidence.main.items.items()}
    untouched = (one.evidence.main.alerts, one.evidence.main.events, one.evidence.main.notes)
    for _, _, edit in tamperings(one):
        edit()
    for name, column in one.evidence.main.items.items():
        np.testing.assert_array_equal(column, before[name], err_msg=name)
    assert (one.evidence.main.alerts, one.evidence.main.events, one.evidence.main.notes) == untouched


@pytest.mark.parametrize("family", ["error_rate", "handled", "harmed", "latency"])
def test_edits_are_the_smallest_also_where_something_failed_already(family):
    names = [name for name, _, _ in tamperings(case(family))]
    sizes = [int(name.split()[1]) for name in names if name.startswith(("green", "red"))]
    red, green = sizes
    opinion = case(family).opinion
    assert opinion.failures <= green < red <= opinion.trials
    assert any(name.startswith("boundary") for name in names)


@pytest.mark.parametrize("family", ["error_rate", "latency", "answered"])
def test_live_runs_are_tampered_with_as_well(family):
    found = SPECIMENS[family].passing
    header = replace(found.main.header, driver="live")
    one = case(family, replace(found, main=replace(found.main, header=header)))
    if one.opinion.status is not Status.PASS:
        # The few failures of the specimen come in one burst: spread them, as independent ones would be.
        outcome = where(np.arange(1800) % 400 == 0, int(Outcome.ERROR), "outcome")
        clean = SPECIMENS["parity"].passing
        spread = edited(replace(clean, main=replace(clean.main, header=header)), outcome=outcome)
        one = case(family, spread)
    assert one.opinion.status is Status.PASS
    for name, want, edit in tamperings(one):
        assert evaluate(one.expectation, one.scenario, edit()).status is want, name


def test_a_limit_that_cannot_be_crossed_is_never_seen_red():
    specimen = SPECIMENS["shed"]
    loose = expectation(shed={"max": 1.0})
    court = naive.read(specimen.passing.main, specimen.passing.twin, specimen.passing.aa)
    one = Case(loose, specimen.scenario, specimen.passing, court, naive.opinion(loose, specimen.scenario, court))
    red = [(want, edit) for name, want, edit in tamperings(one) if name.startswith("red")]
    assert all(evaluate(loose, specimen.scenario, edit()).status is not want for want, edit in red)


def test_a_rollback_amid_failures_is_still_seen_green():
    specimen = SPECIMENS["rollback"]
    early = np.isin(np.arange(1800), [880, 885, 899])  # lost long after the switch: not in flight
    found = edited(specimen.passing, outcome=where(early, int(Outcome.ERROR), "outcome", specimen.passing))
    for name, want, edit in tamperings(case("rollback", found)):
        assert evaluate(specimen.scenario.then[0], specimen.scenario, edit()).status is want, name


def test_in_a_batch_all_rows_of_a_request_fail_together():
    touched = evidence().main.items["touched"]
    items = columns(rows=2, touched=touched, potent=touched)
    batch = case("error_rate", evidence(run(items, events=(record(),))))
    assert batch.opinion.trials == 900
    for name, want, edit in tamperings(batch):
        assert evaluate(batch.expectation, batch.scenario, edit()).status is want, name

"""The judgement of a cell: findings, grades, and what becomes of a control that goes wrong (S4, S10)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from histories import Evidence, columns, evidence, record, run, scenario
from specimens import PAGED, SPECIMENS, alerts, in_outage

from simulator.checks.evaluate import CHECKS
from simulator.controls import judge, naive
from simulator.controls.world import detects, in_clean_world
from simulator.history.schema import Note
from simulator.scenario.model import FAMILIES, Scenario
from simulator.verdict import Finding, Status


@dataclass(frozen=True)
class Loaded:
    scenario: Scenario
    path: Path = Path("some/where/unit_change.scenario.yaml")
    values: dict[str, Any] = field(default_factory=lambda: {"factor": 100})
    lines: dict[str, int] = field(default_factory=lambda: {"then.it": 21})


def verdict(whole: Scenario, found: Evidence, **more):
    return judge(Loaded(whole), found, run_id="r1", target="payments", **more)


def first(whole: Scenario, found: Evidence, **more):
    return verdict(whole, found, **more).judged[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_what_passes_has_been_seen_red(family):
    specimen = SPECIMENS[family]
    judged = first(specimen.scenario, specimen.passing)
    assert [control for control in judged.controls if not control.seen] == []
    assert judged.status is Status.PASS
    assert judged.grades == ("TW" if detects(specimen.scenario.then[0]) else "T")


@pytest.mark.parametrize("family", FAMILIES)
def test_what_fails_is_failed_by_both_judges(family):
    judged = first(SPECIMENS[family].scenario, SPECIMENS[family].failing)
    assert judged.status is Status.FAIL
    assert [c.name for c in judged.controls if c.grade == "T"] == ["second judge: agrees"]
    assert judged.controls[0].seen


def test_a_verdict_says_what_was_judged():
    specimen = SPECIMENS["alert"]
    found = replace(specimen.passing, off={"alerts": replace(run(role="off-alerts"), events=(record(),))})
    result = verdict(specimen.scenario, found)
    assert result.name == "unit_change[factor=100]"
    assert (result.run_id, result.target, result.plan_digest, result.seed) == ("r1", "payments", "p", 1)
    assert result.evidence == {"main": "d", "twin": "d", "aa": "d", "off-alerts": "d"}
    judged = result.judged[0]
    assert (judged.id, judged.family, judged.line, judged.gating) == ("paged", "alert", 0, True)
    assert judged.text


def test_without_its_safeguard_an_expectation_must_turn_red():
    specimen = SPECIMENS["alert"]
    silent = replace(evidence().main, header=replace(run().header, role="off-alerts"))
    judged = first(specimen.scenario, replace(specimen.passing, off={"alerts": silent}))
    assert (judged.status, judged.grades, judged.required) == (Status.PASS, "TWS", ("T", "W", "S"))
    # A safeguard without which nothing changes is none.
    judged = first(specimen.scenario, replace(specimen.passing, off={"alerts": specimen.passing.main}))
    assert judged.finding.status is Status.PASS
    assert (judged.status, judged.grades) == (Status.UNKNOWN, "TW")


def test_a_switch_that_was_not_tried_is_missed():
    specimen = SPECIMENS["alert"]
    assert first(specimen.scenario, specimen.passing, switchable={"alerts"}).status is Status.UNKNOWN
    assert first(specimen.scenario, specimen.passing, switchable=frozenset()).status is Status.PASS
    assert first(specimen.scenario, specimen.passing, switchable={"validation"}).status is Status.PASS


def test_guards_none_asks_for_no_safeguard():
    whole = scenario(PAGED | {"guards": "none"})
    assert first(whole, SPECIMENS["alert"].passing, switchable={"alerts"}).status is Status.PASS


def test_a_detection_must_not_be_satisfied_by_the_clean_world():
    # The clean service falls back all the time, so that its fallback in the outage detects nothing.
    specimen = SPECIMENS["fallback"]
    always = replace(in_outage(600).main, events=(), header=replace(run().header, role="twin"))
    judged = first(specimen.scenario, replace(specimen.passing, twin=always))
    assert judged.finding.status is Status.PASS
    assert judged.status is Status.UNKNOWN
    assert [c.name for c in judged.controls if not c.seen] == ["the clean twin in place of the run"]


def test_without_a_twin_a_detection_has_not_been_seen_red():
    specimen = SPECIMENS["fallback"]
    assert first(specimen.scenario, replace(specimen.passing, twin=None)).status is Status.UNKNOWN


def test_the_clean_world_keeps_what_the_harness_did():
    found = alerts()
    clean = in_clean_world(found)
    assert clean is not None
    assert clean.main.events == found.main.events
    np.testing.assert_array_equal(clean.main.items["touched"], found.main.items["touched"])
    np.testing.assert_array_equal(clean.main.items["score"], found.twin.items["score"])
    assert sorted(n.kind for n in clean.main.notes) == sorted(n.kind for n in found.main.notes)


def test_a_check_that_raises_under_control_has_not_been_seen(monkeypatch):
    specimen = SPECIMENS["error_rate"]
    sound = CHECKS["error_rate"]

    def fragile(expectation, whole, found) -> Finding:
        if not any(note.kind == "driver" for note in found.main.notes):
            raise RuntimeError("no such note")
        return sound(expectation, whole, found)

    monkeypatch.setitem(CHECKS, "error_rate", fragile)
    judged = first(specimen.scenario, specimen.passing)
    assert judged.finding.status is Status.PASS
    assert judged.status is Status.UNKNOWN
    assert [c.name for c in judged.controls if not c.seen] == ["runs: premise: no record of the driver's lag"]


@pytest.mark.parametrize("blind", ["always passes", "never fails", "ignores premises"])
def test_a_check_that_cannot_fail_never_certifies(blind, monkeypatch):
    specimen = SPECIMENS["error_rate"]
    sound = CHECKS["error_rate"]

    def check(expectation, whole, found) -> Finding:
        if blind == "always passes":
            return Finding(Status.PASS, "", "")
        if blind == "never fails":
            finding = sound(expectation, whole, found)
            return replace(finding, status=Status.UNKNOWN) if finding.status is Status.FAIL else finding
        return sound(expectation, whole, replace(found, main=replace(found.main, notes=specimen.passing.main.notes)))

    monkeypatch.setitem(CHECKS, "error_rate", check)
    judged = first(specimen.scenario, specimen.passing)
    assert judged.finding.status is Status.PASS
    assert judged.status is Status.UNKNOWN


def test_two_judges_that_disagree_certify_nothing(monkeypatch):
    specimen = SPECIMENS["error_rate"]
    monkeypatch.setitem(naive.FAMILIES, "error_rate", lambda *_: naive.Opinion(Status.FAIL))
    judged = first(specimen.scenario, specimen.passing)
    assert judged.finding.status is Status.PASS
    assert judged.status is Status.UNKNOWN


def test_a_defect_of_the_naive_judge_is_no_crash(monkeypatch):
    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setitem(naive.FAMILIES, "error_rate", broken)
    assert first(SPECIMENS["error_rate"].scenario, SPECIMENS["error_rate"].passing).status is Status.UNKNOWN


def test_warnings_do_not_count_and_nothing_gating_is_unknown():
    specimen = SPECIMENS["error_rate"]
    warn = scenario({"id": "it", "severity": "warn"} | specimen.it)
    assert verdict(warn, specimen.failing).status is Status.UNKNOWN
    both = scenario({"id": "it", "severity": "warn"} | specimen.it, {"id": "up", "shed": {"max": "1%"}})
    assert verdict(both, specimen.failing).status is Status.PASS


def test_a_fault_of_the_harness_is_named():
    found = evidence()
    twin = replace(found.twin, notes=(*found.twin.notes, Note(0, "harness", {"fault": "the loop ran dry"})))
    result = verdict(SPECIMENS["error_rate"].scenario, replace(found, twin=twin))
    assert result.harness_fault == "twin: the loop ran dry"


def test_evidence_of_nothing_is_unknown_and_no_crash():
    empty = {"main": run(columns(0)), "twin": run(columns(0), role="twin"), "aa": run(columns(0), role="aa")}
    for family in FAMILIES:
        specimen = SPECIMENS[family]
        main = replace(empty["main"], events=specimen.passing.main.events)
        judged = first(specimen.scenario, Evidence(**{**empty, "main": main}))
        if family in ("alert", "labels_seen", "resolved"):
            assert judged.status is Status.FAIL  # the alert did not come
        elif family != "no_alert":
            assert judged.status is Status.UNKNOWN, family


def test_judging_twice_gives_the_same():
    specimen = SPECIMENS["handled"]
    assert verdict(specimen.scenario, specimen.passing) == verdict(specimen.scenario, specimen.passing)

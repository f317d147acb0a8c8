"""Every cell of S2: each family can PASS, FAIL, and say that it does not know; with its reasons."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from histories import N, evidence, judged, run, scenario
from specimens import SPECIMENS

from simulator.checks import Evidence, evaluate
from simulator.controls import naive
from simulator.scenario.model import FAMILIES
from simulator.verdict import Finding, Status


def found(family: str, evidence: Evidence) -> Finding:
    scenario = SPECIMENS[family].scenario
    return evaluate(scenario.then[0], scenario, evidence)


def test_there_is_a_specimen_of_every_family():
    assert set(SPECIMENS) == set(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_passes_on_positive_evidence(family):
    finding = found(family, SPECIMENS[family].passing)
    assert (finding.status, finding.remedy) == (Status.PASS, "")
    assert finding.n > 0
    assert finding.limit
    assert finding.observed
    assert finding.window_ns is not None


@pytest.mark.parametrize("family", FAMILIES)
def test_fails_and_says_why(family):
    finding = found(family, SPECIMENS[family].failing)
    assert finding.status is Status.FAIL
    assert finding.why
    assert finding.margin is None or finding.margin <= 0  # 0: at the very deadline


@pytest.mark.parametrize("family", FAMILIES)
def test_knows_when_it_does_not_know(family):
    finding = found(family, SPECIMENS[family].unknown)
    assert finding.status is Status.UNKNOWN
    assert finding.why
    assert finding.remedy
    assert "raised" not in finding.why


WITNESSED = ("handled", "harmed", "error_rate", "latency", "shed", "answered", "exposure", "fallback", "parity")


@pytest.mark.parametrize("family", WITNESSED)
def test_a_failure_names_at_most_ten_items_by_key_and_time(family):
    finding = found(family, SPECIMENS[family].failing)
    assert 1 <= len(finding.witnesses) <= 10
    assert all(witness.startswith("main/") and " at " in witness for witness in finding.witnesses)


@pytest.mark.parametrize("family", ["handled", "harmed", "error_rate", "latency", "shed", "answered", "exposure"])
def test_too_little_data_says_how_much_would_do(family):
    finding = found(family, SPECIMENS[family].unknown)
    assert finding.why.startswith("too little data")
    assert "would decide" in finding.remedy


def test_a_check_that_raises_is_unknown_and_says_what_it_raised():
    specimen = SPECIMENS["error_rate"]
    items = {name: column for name, column in specimen.passing.main.items.items() if name != "outcome"}
    broken = Evidence(main=type(specimen.passing.main)(specimen.passing.main.header, items, (), (), ()))
    finding = evaluate(specimen.scenario.then[0], specimen.scenario, broken)
    assert finding.status is Status.UNKNOWN  # driver and steady state are not on record: the premise comes first
    whole = Evidence(main=type(specimen.passing.main)(
        specimen.passing.main.header, items, (), specimen.passing.main.events, specimen.passing.main.notes
    ))  # fmt: skip
    finding = evaluate(specimen.scenario.then[0], specimen.scenario, whole)
    assert finding.status is Status.UNKNOWN
    assert "KeyError: 'outcome'" in finding.why


@pytest.mark.parametrize("beside", ["v1", "v1@offline"])
def test_parity_with_a_version_is_parity_with_the_run_that_it_serves(beside):
    """Two runs that agree on everything may both be wrong: only the third one tells (J10)."""
    version, _, target = beside.partition("@")
    asked = {"parity": {"serving": version} | ({"target": target} if target else {}), "of": "untouched"}
    third = run(role="twin")
    other = replace(third, items={**third.items, "score": np.where(np.arange(N) == 30, 0.7, third.items["score"])})
    for clean, status in ((third, Status.PASS), (other, Status.FAIL)):
        found = evidence(serving={beside: clean})
        assert judged(asked, found).status is status
        it = scenario({"id": "it"} | asked)
        court = naive.read(found.main, found.twin, found.aa, serving=found.serving)
        assert naive.opinion(it.then[0], it, court).status is status
    without = judged(asked, evidence(serving={"v2": third}))
    assert without.status is Status.UNKNOWN
    assert beside in without.why

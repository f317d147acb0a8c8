"""S3: who serves before anything happens is the version that `given` names, or nobody speaks of versions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from histories import columns, edited, evidence, run, scenario
from specimens import RELEASE, released

from simulator.checks import evaluate
from simulator.checks.steady import steadiness
from simulator.controls import naive
from simulator.drivers.spec import Warmup
from simulator.scenario.model import Scenario
from simulator.verdict import Status

UP = {"error_rate": {"max": "5%"}}
BACK = {"rollback": {"to": "v1"}, "after": "e", "within": "15m"}
BEFORE = np.arange(1800) < 600


def both(whole: Scenario, found):
    """What both judges say."""
    finding = evaluate(whole.then[0], whole, found)
    court = naive.read(found.main, found.twin, found.aa, found.tolerance, found.serving)
    assert naive.opinion(whole.then[0], whole, court).status is finding.status
    return finding


def unstated(whole: Scenario):
    """The same scenario, whose file does not say what serves."""
    given = whole.given
    bare = type(given).model_construct(given.model_fields_set - {"serving"}, **dict(given))
    return whole.model_copy(update={"given": bare})


def named(version, found=None):
    """Before the release another version answers."""
    found = found or released()
    return edited(found, version=np.where(BEFORE, version, found.main.items["version"]).astype(object))


def test_where_the_file_says_what_serves_nothing_is_certified_of_another():
    whole = scenario({"id": "it"} | UP)
    assert both(whole, evidence()).status is Status.PASS
    finding = both(whole, named("v7", evidence()))
    assert finding.status is Status.UNKNOWN
    assert finding.why.startswith("serving: v7 answered before anything happened, where `given` says v1")
    assert both(whole, named("", evidence())).status is Status.PASS  # nobody contradicts, and nothing depends on it


def test_where_the_file_does_not_say_it_only_who_speaks_of_versions_must_know():
    whole = unstated(scenario({"id": "it"} | UP))
    assert both(whole, named("2024-10-01", evidence())).status is Status.PASS
    whole = unstated(scenario({"id": "it"} | BACK, when=RELEASE))
    assert both(whole, released()).status is Status.PASS
    assert "2024-10-01 answered before anything" in both(whole, named("2024-10-01")).why


def test_a_twin_is_held_to_it_as_well():
    whole = scenario({"id": "it", "harmed": {"max": "1%"}})
    other = replace(evidence(), twin=run(columns(version="v2"), role="twin"))
    finding = both(whole, other)
    assert finding.status is Status.UNKNOWN
    assert "v2 answered" in finding.why


def test_who_cannot_say_what_serves_is_certified_of_no_version():
    whole = scenario({"id": "it"} | BACK, when=RELEASE)
    finding = both(whole, named(""))
    assert finding.status is Status.UNKNOWN
    assert "no answer before the first event names its version" in finding.why
    assert "read.version" in finding.remedy


@pytest.mark.parametrize(("version", "status"), [("v1", Status.PASS), ("v2", Status.UNKNOWN), ("", Status.UNKNOWN)])
def test_a_clean_run_of_a_version_is_one_that_it_really_served(version, status):
    """A service that somebody else started serves what it serves, whatever a run asks for."""
    it = {"id": "it", "parity": {"serving": "v1"}}
    other = replace(evidence(), serving={"v1": run(columns(version=version), role="twin")})
    assert both(scenario(it), other).status is status


def test_what_is_open_when_a_release_begins_may_be_answered_by_what_comes():
    found = released()
    late = found.main.items["replied_ns"] + np.where(np.arange(1800) == 599, 2 * 10**9, 0)
    version = np.where(np.arange(1800) == 599, "v2", found.main.items["version"])
    whole = scenario({"id": "it"} | BACK, when=RELEASE)
    assert both(whole, edited(found, replied_ns=late, version=version.astype(object))).status is Status.PASS


def test_nothing_is_injected_into_a_service_that_another_version_serves():
    other = Warmup(1000, 0, (10**6,) * 1000, (), ("v1", "v7"))
    holds, why = steadiness(scenario({"id": "it"} | UP), other)
    assert (holds, why) == (False, "v7 answered before anything happened, where `given` says v1")
    assert steadiness(unstated(scenario({"id": "it"} | UP)), other)[0]
    assert not steadiness(unstated(scenario({"id": "it"} | BACK, when=RELEASE)), other)[0]
    assert steadiness(scenario({"id": "it"} | BACK, when=RELEASE), replace(other, versions=("", "v1")))[0]

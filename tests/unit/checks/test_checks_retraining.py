"""How far a retrained version gets, and by which way: the journal, held against the replies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from histories import edited, expectation, scenario
from specimens import RETRAIN, learned, where

from simulator.checks import evaluate
from simulator.controls import naive
from simulator.controls.case import Case
from simulator.controls.tamper import tamperings
from simulator.history.schema import Note
from simulator.scenario.quantities import SECOND
from simulator.verdict import Status

WHOLE = ("shadow", "canary", "live")


def judged(goes, found, **more):
    it = {"id": "it", "retrain": {"version": "v2", "goes": goes} | more, "after": "e", "within": "8m"}
    whole = scenario(it, when=RETRAIN)
    return evaluate(whole.then[0], whole, found)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (learned("canary", "live"), "it was canary after shadow had lasted not at all"),
        (learned("shadow", "live"), "answered by v2 before it was a canary"),
        (learned(*WHOLE, asked=0), "its shadow was never asked"),
        (learned(*WHOLE, heard=False), "live by its own word, and gave 0 of 900 answers since"),
        (learned("shadow", "canary", "back"), "nothing happened in it"),
        (learned("refused"), "nothing happened in it"),
    ],
)
def test_a_way_that_does_not_lead_there(found, said):
    finding = judged("live", found)
    assert finding.status is Status.FAIL
    assert said in finding.why


def test_a_shadow_that_nobody_saw_is_the_services_own_word():
    assert judged("live", learned(*WHOLE, asked=-1)).status is Status.UNKNOWN
    assert judged("live", learned(*WHOLE, asked=-1), shadow="0s").status is Status.PASS


def test_to_be_live_is_to_answer_and_a_canary_is_one():
    found = learned(*WHOLE)
    at = found.main.items["scheduled_ns"]
    version = found.main.items["version"]
    few = np.where((at >= 900 * SECOND) & (np.arange(len(at)) % 3 > 0), "v1", version)
    finding = judged("live", edited(found, version=few))
    assert finding.status is Status.FAIL
    assert "it is live by its own word, and gave 300 of 900 answers since" in finding.why
    finding = judged("live", edited(found, version=np.where(at < 900 * SECOND, "v1", version)))
    assert finding.status is Status.FAIL
    assert "as a canary it gave none of" in finding.why


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"shadow": "101s"}, "it was canary after shadow had lasted 1m40s, not 1m41s"),
        ({"canary": "101s"}, "it was live after canary had lasted 1m40s, not 1m41s"),
        ({"share": "2%"}, "as a canary it gave 10% of 100 answers, over 2%"),
    ],
)
def test_steps_that_are_too_short_or_too_large(more, said):
    assert judged("live", learned(*WHOLE)).status is Status.PASS
    finding = judged("live", learned(*WHOLE), **more)
    assert finding.status is Status.FAIL
    assert said in finding.why


def test_what_is_to_be_refused_answers_nobody_however_much_the_journal_says_that_it_was_refused():
    refused = learned("refused")
    assert judged("nowhere", refused).status is Status.PASS
    seconds = np.arange(1800)
    leaked = edited(refused, version=where(seconds == 1799, "v2", "version", refused))
    assert "answered by v2" in judged("nowhere", leaked).why
    assert judged("nowhere", learned("shadow")).status is Status.FAIL
    assert judged("nowhere", learned(*WHOLE)).status is Status.FAIL


def test_a_step_that_was_entered_afterwards_or_ahead_of_time_is_not_believed():
    found = learned(*WHOLE)
    for said in (690, 712):
        data = {"version": "v2", "step": "shadow", "why": "", "asked": 5, "said_ns": said * SECOND}
        late = Note(710 * SECOND, "retraining", data | {"last_ns": 700 * SECOND})
        finding = judged("live", replace(found, main=replace(found.main, notes=(*found.main.notes, late))))
        assert finding.status is Status.UNKNOWN
        assert finding.why.startswith("journal: ")


def test_a_journal_without_enough_answers_after_it_decides_nothing():
    found = learned(*WHOLE)
    finding = judged("live", edited(found, outcome=where(np.arange(1800) >= 905, 4, "outcome", found)))
    assert finding.status is Status.UNKNOWN
    assert "5 answers since it is live" in finding.why


def test_every_edit_of_a_refusal_is_seen_as_what_it_is():
    it = expectation(retrain={"version": "v2", "goes": "nowhere"}, after="e", within="8m")
    found, whole = learned("refused"), scenario(when=RETRAIN)
    court = naive.read(found.main, found.twin, found.aa)
    seen = set()
    for name, want, edit in tamperings(Case(it, whole, found, court, naive.opinion(it, whole, court))):
        tampered = edit()
        assert evaluate(it, whole, tampered).status is want, name
        assert naive.opinion(it, whole, naive.read(tampered.main, tampered.twin, tampered.aa)).status is want, name
        seen.add(want)
    assert seen == set(Status)

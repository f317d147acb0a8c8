"""Defects as histories: what the service or the harness did wrong must show in the verdict of the expectation named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from histories import END, SECOND, columns, edited, ending, evidence, firing, judged, notes, record, run
from specimens import PAGED, RELEASE, SPECIMENS, alerts, estimated, released, set_at, some, where

from simulator.checks import evaluate
from simulator.checks.evaluate import CHECKS
from simulator.history.schema import NEVER, Note, Outcome, Source
from simulator.verdict import Status

QUIET = SPECIMENS["no_alert"].it
ROLLBACK = SPECIMENS["rollback"].it


def test_21_an_alert_one_tick_late():
    assert judged(PAGED, alerts(firing(1079))).status is Status.PASS
    assert judged(PAGED, alerts(firing(1080))).status is Status.FAIL


def test_23_an_alert_that_always_fires():
    always = alerts(firing(30))
    assert judged(QUIET, always).status is Status.FAIL
    assert judged(PAGED, always).status is Status.UNKNOWN


def test_24_a_new_episode_every_minute():
    again = tuple(firing(s, fingerprint=str(s)) for s in range(660, 1200, 60))
    assert judged(PAGED | {"once": True}, alerts(*again)).status is Status.FAIL


def test_an_alert_that_is_told_to_be_over_while_its_cause_goes_on():
    """Who believes it goes back to bed. Another alert of the selector may take over, without a gap."""
    stands = PAGED | {"stands": True}
    assert judged(stands, alerts(firing(700), ending(1200))).status is Status.PASS
    assert judged(PAGED, alerts(firing(700), ending(1199))).status is Status.PASS
    assert judged(stands, alerts(firing(700), ending(1199))).status is Status.FAIL
    assert judged(stands, alerts(firing(700), firing(1100, fingerprint="b"), ending(1199))).status is Status.PASS
    assert judged(stands, alerts(firing(700), ending(900))).status is Status.FAIL
    assert judged(stands, alerts(firing(700), ending(900), firing(1100))).status is Status.PASS  # S6: one episode


def test_25_an_alert_that_never_resolves():
    specimen = SPECIMENS["resolved"]
    assert judged(specimen.it, alerts(firing(700)), PAGED).status is Status.FAIL
    assert judged(QUIET, alerts(firing(700))).status is Status.FAIL


def test_56_the_fault_proxy_is_not_wired():
    gone = replace(evidence().main, events=(record(start_ns=NEVER, delivered=0, potent=0),))
    assert judged(PAGED, replace(evidence(), main=gone)).status is Status.UNKNOWN
    unsupported = replace(gone, events=(record(supported=False, start_ns=NEVER, planned=1, delivered=0, potent=0),))
    assert "unsupported" in judged(PAGED, replace(evidence(), main=unsupported)).why


def test_57_the_alert_receiver_is_dead():
    dead = tuple(n for n in notes() if n.kind != "heartbeat" or n.at_ns < 700 * SECOND)
    for it in (PAGED, QUIET):
        finding = judged(it, replace(evidence(), main=replace(evidence().main, notes=dead)))
        assert finding.status is Status.UNKNOWN
        assert finding.why.startswith("observers")


@pytest.mark.parametrize("family", [family for family in CHECKS if family not in {"parity", "logged"}])
def test_58_the_driver_is_two_seconds_late(family):
    specimen = SPECIMENS[family]
    late = Note(END, "driver", {"late_p99_ns": 2 * SECOND, "late_max_ns": 2 * SECOND})
    for found in (specimen.passing, specimen.failing):
        main = replace(found.main, notes=(*found.main.notes, late))
        finding = evaluate(specimen.scenario.then[0], specimen.scenario, replace(found, main=main))
        assert finding.status is Status.UNKNOWN
        assert finding.why.startswith("driver")


@pytest.mark.parametrize("family", list(CHECKS))
def test_59_a_check_raises(family, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("oops")

    monkeypatch.setitem(CHECKS, family, broken)
    specimen = SPECIMENS[family]
    finding = evaluate(specimen.scenario.then[0], specimen.scenario, specimen.passing)
    assert finding.status is Status.UNKNOWN
    assert "ZeroDivisionError: oops" in finding.why


@pytest.mark.parametrize("family", list(CHECKS))
def test_60_the_fault_is_impotent(family):
    specimen = SPECIMENS[family]
    for found in (specimen.passing, specimen.failing):
        main = replace(found.main, events=tuple(replace(event, potent=0) for event in found.main.events))
        finding = evaluate(specimen.scenario.then[0], specimen.scenario, replace(found, main=main))
        assert finding.status is Status.UNKNOWN
        assert "impotent" in finding.why


def test_1_2_4_a_model_that_is_claimed_and_was_not_asked():
    imputed = set_at(some(600, touched=True), score=0.0123)
    finding = judged(SPECIMENS["handled"].it, imputed)
    assert finding.status is Status.FAIL
    assert "silent, score 0.0123, twin 0.4" in finding.witnesses[0]  # 600 * 7919 mod 1000


def test_11_a_rejection_sent_as_500():
    crashed = set_at(some(600, touched=True), outcome=int(Outcome.ERROR))
    finding = judged({"handled": {"by": ["reject"], "min": "95%"}, "of": "e"}, crashed)
    assert finding.status is Status.FAIL
    assert "crashed" in finding.witnesses[0]


def test_3_one_bad_row_rejects_its_whole_batch():
    # Every second row is touched; its neighbour in the same request pays for it.
    second = np.arange(1800)
    touched = np.where((second >= 600) & (second < 1200) & (second % 2 == 0), np.uint64(1), np.uint64(0))
    rejected = np.where((second >= 600) & (second < 1200), int(Outcome.REJECT), int(Outcome.OK))
    items = columns(rows=2, touched=touched, potent=touched, outcome=rejected)
    main = run(items, events=(record(planned=300, delivered=300, potent=300),))
    found = evidence(main, twin=run(columns(rows=2), role="twin"), aa=run(columns(rows=2), role="aa"))
    assert judged({"harmed": {"max": "1%"}, "of": "untouched"}, found).status is Status.FAIL
    assert judged({"handled": {"by": ["reject"], "min": "95%"}, "of": "e"}, found).status is Status.PASS


def test_13_the_fallback_outlives_the_outage():
    specimen = SPECIMENS["recovers"]
    assert evaluate(specimen.scenario.then[0], specimen.scenario, specimen.failing).status is Status.FAIL


def test_what_the_twin_always_answers_by_default_has_recovered():
    specimen = SPECIMENS["recovers"]
    third = np.arange(1800) % 3 == 0
    found = edited(specimen.passing, source=where(third, int(Source.DEFAULT), "source", specimen.passing))
    assert evaluate(specimen.scenario.then[0], specimen.scenario, found).status is Status.FAIL
    source = np.where(third, int(Source.DEFAULT), int(Source.MODEL)).astype(np.int8)
    twin = replace(found.twin, items={**found.twin.items, "source": source})
    assert evaluate(specimen.scenario.then[0], specimen.scenario, replace(found, twin=twin)).status is Status.PASS


def test_34_back_to_a_bad_predecessor():
    wrong = released()
    later = (wrong.main.items["version"] == "v1") & (np.arange(1800) >= 600)
    version = np.where(later, "v0", wrong.main.items["version"])
    assert judged(ROLLBACK, edited(wrong, version=version.astype(object)), when=RELEASE).status is Status.FAIL


@pytest.mark.parametrize("again", [899, 901, 1300, 1700])
def test_35_promoted_again_after_the_rollback(again):
    finding = judged(ROLLBACK, released(again), when=RELEASE)
    assert finding.status is (Status.PASS if again < 900 else Status.FAIL)


def test_a_rollback_seen_for_less_than_its_hold_is_unknown():
    finding = judged(ROLLBACK | {"within": "15m", "hold": "20m"}, released(), when=RELEASE)
    assert finding.status is Status.UNKNOWN
    assert finding.why.startswith("window")


@pytest.mark.parametrize(("at", "lost"), [(689, False), (691, True), (699, True), (702, False)])
def test_36_a_swap_drops_what_is_in_flight(at, lost):
    base = released()  # v2 answers last at 690 s; requests time out after 10 s
    mask = np.arange(1800) == at
    outcome = where(mask, int(Outcome.ERROR), "outcome", base)
    replied = where(mask, at * SECOND + 5_000_000, "replied_ns", base)
    finding = judged(ROLLBACK, edited(base, outcome=outcome, replied_ns=replied), when=RELEASE)
    assert finding.status is (Status.FAIL if lost else Status.PASS)


def test_36_and_what_was_sent_before_and_never_answered():
    base = released()
    mask = np.arange(1800) == 685
    outcome = where(mask, int(Outcome.TIMEOUT), "outcome", base)
    lost = edited(base, outcome=outcome, replied_ns=where(mask, NEVER, "replied_ns", base))
    assert judged(ROLLBACK, lost, when=RELEASE).status is Status.FAIL
    twin = replace(lost.twin, items={**lost.twin.items, "outcome": lost.main.items["outcome"]})
    assert judged(ROLLBACK, replace(lost, twin=twin), when=RELEASE).status is Status.PASS  # lost in the clean world too


def test_38_the_canary_gets_more_than_its_share():
    it = {"exposure": {"version": "v2", "max": "12%"}, "during": "e"}
    assert judged(it, released(until=1800), when=RELEASE).status is Status.UNKNOWN  # 10 %, but of too few
    third = (np.arange(1800) % 3 == 0) & (np.arange(1800) >= 600)
    base = released(until=1800)
    assert judged(it, edited(base, version=where(third, "v2", "version", base)), when=RELEASE).status is Status.FAIL


def test_50_replies_in_a_batch_swapped():
    score = evidence().main.items["score"].copy()
    score[[10, 11]] = score[[11, 10]]
    finding = judged(SPECIMENS["parity"].it, edited(evidence(), score=score))
    assert finding.status is Status.FAIL
    assert len(finding.witnesses) == 2


def test_32_labels_counted_twice():
    it = SPECIMENS["quality"].it
    assert judged(it, estimated(0.5, n=1400)).status is Status.PASS
    finding = judged(it, estimated(0.5, n=1500))
    assert finding.status is Status.FAIL
    assert "1500 labels for 1400 answers" in finding.why
    assert judged(it, estimated(0.5, n=199)).status is Status.UNKNOWN


def test_benign_alertmanager_repeats_and_at_least_once_delivery():
    repeats = [firing(700 + 60 * k, route=route) for k in range(9) for route in ("alertmanager", "slack")]
    assert judged(PAGED | {"once": True}, alerts(*repeats, ending(1250))).status is Status.PASS

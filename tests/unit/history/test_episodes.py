"""S6: notifications become episodes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from histories import SECOND, ending, evidence, firing, judged, run
from specimens import PAGED, alerts

from simulator.history.episodes import FOREVER, episodes
from simulator.scenario.families import AlertIs
from simulator.verdict import Status

ANY = AlertIs()


def spans(*records, selector=ANY):
    return [
        (e.onset_ns / SECOND, None if e.end_ns == FOREVER else e.end_ns / SECOND) for e in episodes(records, selector)
    ]


def test_from_firing_to_resolved():
    assert spans(firing(10), ending(50)) == [(10, 50)]
    assert spans(firing(10)) == [(10, None)]
    assert spans(ending(10)) == []


def test_repeats_are_not_new():
    assert spans(firing(10), firing(20), firing(400), ending(500), ending(510)) == [(10, 500)]


def test_a_gap_under_five_minutes_does_not_count():
    assert spans(firing(10), ending(50), firing(349), ending(400)) == [(10, 400)]
    assert spans(firing(10), ending(50), firing(350), ending(400)) == [(10, 50), (350, 400)]


def test_one_fingerprint_over_all_routes_is_one_episode():
    assert spans(firing(10), firing(11, route="slack"), ending(50, route="slack"), ending(51)) == [(10, 50)]


def test_other_fingerprints_are_other_episodes():
    assert spans(firing(10), firing(12, field="country")) == [(10, None), (12, None)]


def test_heartbeats_are_no_alerts():
    assert spans(firing(10, name="Watchdog"), firing(11, name="heartbeat")) == []


def test_at_the_same_instant_it_keeps_firing():
    assert spans(firing(10), ending(20), firing(20)) == [(10, None)]
    assert spans(firing(10), firing(20), ending(20)) == [(10, None)]


@pytest.mark.parametrize("part", ["name", "field", "severity"])
def test_every_part_of_a_selector_selects(part):
    record = firing(10)
    assert spans(record, selector=AlertIs(**{part: getattr(record, part)})) == [(10, None)]
    assert spans(record, selector=AlertIs(**{part: "other"})) == []


def test_an_escalation_begins_when_it_is_escalated():
    ticket = firing(10, severity="ticket")
    assert spans(ticket, firing(30), ending(60), selector=AlertIs(severity="page")) == [(30, 60)]


def test_an_alert_that_fired_before_says_nothing_about_the_event():
    finding = judged(PAGED, alerts(firing(590), firing(700)))
    assert finding.status is Status.UNKNOWN
    assert finding.why.startswith("firing before")
    assert judged(PAGED, alerts(firing(100), ending(200), firing(700))).status is Status.PASS


def test_an_alert_that_the_clean_twin_has_too_is_not_attributable():
    twin = run(role="twin", alerts=(firing(650), ending(660)))
    finding = judged(PAGED, replace(alerts(firing(700)), twin=twin))
    assert finding.status is Status.UNKNOWN
    assert finding.why.startswith("not attributable")
    elsewhere = run(role="twin", alerts=(firing(100), ending(110)))
    assert judged(PAGED, replace(alerts(firing(700)), twin=elsewhere)).status is Status.PASS


@pytest.mark.parametrize("second", [701, 1199])
def test_once_is_once_as_long_as_the_event_lasts(second):
    again = firing(second, fingerprint="another")
    once = judged(PAGED | {"once": True}, alerts(firing(700), again))
    assert once.status is Status.FAIL
    assert once.witnesses
    assert judged(PAGED, alerts(firing(700), again)).status is Status.PASS
    assert (
        judged(PAGED | {"once": True}, alerts(firing(700), firing(1201, fingerprint="another"))).status is Status.PASS
    )


QUIET = {"no_alert": "any", "outside": "e", "settle": "2m"}


@pytest.mark.parametrize(
    ("records", "status"),
    [
        ((), Status.PASS),
        ((firing(600), ending(1320)), Status.PASS),
        ((firing(599.999),), Status.FAIL),
        ((firing(600), ending(1320.000000001)), Status.FAIL),
        ((firing(1799),), Status.FAIL),
    ],
)
def test_silence_is_broken_by_whatever_fires_in_the_window(records, status):
    assert judged(QUIET, alerts(*records)).status is status


def test_silence_is_implied_in_the_twin():
    twin = run(role="twin", alerts=(firing(700), ending(710)))
    finding = judged(QUIET, replace(evidence(), twin=twin))
    assert finding.status is Status.FAIL
    assert "in the clean twin" in finding.why


def test_what_has_not_begun_is_not_over():
    # The alert comes after the event has ended: the quiet before it is no resolution.
    it = {"resolved": "paged", "after": "e.end", "within": "4m", "hold": "1m"}
    slow = PAGED | {"within": "12m"}
    assert judged(it, alerts(firing(1290)), slow).status is Status.FAIL
    assert judged(it, alerts(firing(1290), ending(1300)), slow).status is Status.PASS


def test_an_alert_that_fires_again_within_the_hold_was_not_resolved():
    it = {"resolved": "paged", "after": "e.end", "within": "2m", "hold": "5m"}
    again = firing(1500, fingerprint="another")
    assert judged(it, alerts(firing(700), ending(1210)), PAGED).status is Status.PASS
    assert judged(it, alerts(firing(700), ending(1210), again), PAGED).status is Status.FAIL

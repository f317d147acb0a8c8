"""S1: half-open windows from what really happened; boundaries to the nanosecond."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from histories import END, SECOND, columns, ending, evidence, expectation, firing, judged, record, run, scenario
from specimens import PAGED, alerts

from simulator.checks.premises import PremiseError
from simulator.checks.windows import resolve
from simulator.verdict import Status

E = record()


def spans(events=(E,), end_ns=END, when=None, **parts):
    history = run(events=events, end_ns=end_ns)
    window = resolve(expectation(**parts), scenario({"id": "it", "error_rate": {"max": 1}}, when=when), history)
    return [(a / SECOND, b / SECOND) for a, b in window.spans], window.complete


RATE = {"error_rate": {"max": "1%"}}


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({}, [(0, 1800)]),
        ({"during": "e"}, [(600, 1200)]),
        ({"during": "e", "settle": "1m"}, [(660, 1200)]),
        ({"outside": "e"}, [(0, 600), (1200, 1800)]),
        ({"outside": "e", "settle": "2m"}, [(0, 600), (1320, 1800)]),
        ({"after": "e", "within": "2m"}, [(600, 720)]),
        ({"after": "e.end", "within": "2m"}, [(1200, 1320)]),
        ({"after": "e"}, [(600, 1800)]),
        ({"after": "e", "within": "12m", "during": "e"}, [(600, 1200)]),
        ({"of": "e", "settle": "1m"}, [(0, 1800)]),  # the items decide, see selection
    ],
)
def test_windows(parts, expected):
    assert spans(**RATE, **parts) == (expected, True)


def test_silence_without_a_window_is_expected_outside_every_event():
    two = [
        {"event": "e", "at": "10m", "for": "5m", "scale": {"field": "amount", "by": 100}},
        {"event": "f", "at": "20m", "for": "1m", "scale": {"field": "amount", "by": 100}},
    ]
    events = (record(until=900), record("f", at=1200, until=1260, index=1))
    expected = [(0, 600), (960, 1200), (1320, 1800)]
    assert spans(events, when=two, no_alert="any", settle="1m") == (expected, True)


def test_windows_start_when_the_event_really_did():
    late = record(start_ns=601 * SECOND)
    assert spans((late,), **RATE, after="e", within="2m") == ([(601, 721)], True)


@pytest.mark.parametrize(("start_s", "fine"), [(600, True), (601, True), (601.000000001, False), (599.9, False)])
def test_a_start_off_by_more_than_a_second_is_a_broken_premise(start_s, fine):
    moved = (record(start_ns=int(start_s * SECOND)),)
    if fine:
        spans(moved, **RATE, after="e", within="1m")
    else:
        with pytest.raises(PremiseError, match="was to start at 10m"):
            spans(moved, **RATE, after="e", within="1m")


def test_or_by_one_percent_of_a_long_window():
    assert spans((record(start_ns=606 * SECOND),), **RATE, after="e", within="10m")[0] == [(606, 1206)]
    with pytest.raises(PremiseError):
        spans((record(start_ns=606 * SECOND + 1),), **RATE, after="e", within="10m")


def test_late_deliveries_are_late_by_declaration():
    when = [{"event": "e", "at": "10m", "for": "10m", "late": {"by": "1m"}}]
    assert spans((record(start_ns=660 * SECOND),), when=when, **RATE, during="e")[0] == [(660, 1200)]


def test_a_window_beyond_the_end_of_the_run_is_not_complete():
    assert spans(end_ns=700 * SECOND, **RATE, after="e", within="2m") == ([(600, 720)], False)


def test_nothing_left_of_a_window_is_a_broken_premise():
    with pytest.raises(PremiseError, match="nothing is left"):
        spans(**RATE, during="e", settle="10m")


@pytest.mark.parametrize(
    ("onset", "status"),
    [(600, Status.PASS), (1080 - 1e-9, Status.PASS), (1080, Status.FAIL)],
)
def test_an_onset_at_the_deadline_is_late_and_one_nanosecond_before_is_not(onset, status):
    record = firing(0, at_ns=round(onset * 10**9))
    assert judged(PAGED, alerts(record)).status is status


@pytest.mark.parametrize(("end", "status"), [(1380 - 1e-9, Status.PASS), (1380, Status.FAIL)])
def test_a_resolution_at_the_deadline_is_late_and_one_nanosecond_before_is_not(end, status):
    over = replace(ending(0), at_ns=round(end * 10**9))
    it = {"resolved": "paged", "after": "e.end", "within": "3m", "hold": "2m"}
    assert judged(it, alerts(firing(700), over), PAGED).status is status


def test_items_of_an_event_count_after_it_has_settled():
    from simulator.checks.selection import rows

    second = np.arange(1800)
    touched = (second >= 600) & (second < 1200)
    main = run(columns(touched=touched.astype(np.uint64)), events=(E,))
    it = expectation(**RATE, of="e", settle="1m")
    window = resolve(it, scenario({"id": "it", "error_rate": {"max": 1}}), main)
    assert (rows(it, main, window, of="e") == (second >= 660) & (second < 1200)).all()
    assert (rows(it, main, window, of="untouched") == ~touched).all()


def test_an_untouched_request_has_no_touched_row():
    touched = np.zeros(1800, np.uint64)
    touched[601] = 1  # second row of a request of two
    found = evidence(
        run(columns(rows=2, touched=touched, potent=touched), events=(record(planned=1, delivered=1, potent=1),))
    )
    it = {"error_rate": {"max": "1%"}}
    assert judged(it | {"of": "e"}, found).n == 1
    assert judged(it | {"of": "untouched"}, found).n == 899
    assert judged(it, found).n == 900

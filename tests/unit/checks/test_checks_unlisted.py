"""Lies that no row of a list names, as histories: both judges must see them, and neither may see more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from histories import MINUTE, Evidence, N, columns, edited, evidence, firing, judged, notes, record, run, scenario
from specimens import RELEASE, SPECIMENS, alerts, estimated, labelled, ready, set_at, some, where, written

from simulator.checks import evaluate
from simulator.controls import naive
from simulator.history.schema import Note, Outcome, Source
from simulator.verdict import Status

PARITY = {"parity": {"serving": "v1"}, "of": "untouched"}


def both(it: dict, found: Evidence, **world) -> Status:
    """What both judges say."""
    whole = scenario({"id": "it"} | it, **world)
    court = naive.read(found.main, found.twin, found.aa, found.tolerance, found.serving)
    said = evaluate(whole.then[0], whole, found).status
    assert naive.opinion(whole.then[0], whole, court).status is said
    return said


def beside(**items) -> Evidence:
    """Another clean run that v1 serves is there, and the main run has these columns."""
    return replace(edited(evidence(), **items), serving={"v1": run(role="twin")})


def test_a_row_that_is_always_refused_has_no_score_that_could_be_equal():
    """Two clean runs refuse it alike, and no version is named: only a third party knows that it has a score."""
    refused = where(some(1, touched=False), int(Outcome.REJECT), "outcome")
    nameless = where(some(1, touched=False), "", "version")
    assert both(PARITY, beside()) is Status.PASS
    assert both(PARITY, beside(outcome=refused, version=nameless)) is Status.FAIL
    # Where another version may have refused it, it is nobody's.
    released = evidence(run(columns(outcome=refused, version=nameless), events=(record(planned=1, delivered=1),)))
    other = {"parity": {"serving": "v1"}}
    assert both(other, replace(released, serving={"v1": run(role="twin")}), when=RELEASE) is not Status.FAIL


@pytest.mark.parametrize(("decision", "status"), [("approve", Status.PASS), ("", Status.PASS), ("block", Status.FAIL)])
def test_equal_scores_have_equal_decisions_where_both_are_told(decision, status):
    assert both(PARITY, beside(decision=where(some(1, touched=False), decision, "decision"))) is status
    assert both({"parity": {}, "of": "untouched"}, beside()) is Status.PASS


@pytest.mark.parametrize(
    ("source", "status"), [("CACHE", Status.PASS), ("NONE", Status.PASS), ("DEFAULT", Status.FAIL)]
)
def test_an_answer_that_calls_itself_another_one_is_another_answer(source, status):
    found = set_at(some(40, touched=False), source=int(Source[source]))
    assert both({"harmed": {"max": "1%"}}, found) is status


@pytest.mark.parametrize(("source", "status"), [("model", Status.PASS), ("", Status.PASS), ("cache", Status.FAIL)])
def test_the_log_says_where_an_answer_came_from(source, status):
    found = written(lambda records: [records[0] | {"source": source}, *records[1:]])
    assert both({"logged": {}}, found) is status


@pytest.mark.parametrize(("counted", "status"), [(900, Status.PASS), (899, Status.FAIL)])
def test_a_label_that_was_acknowledged_is_a_label_that_counts(counted, status):
    found = estimated(0.5, n=counted)
    due = found.main.items["scheduled_ns"] + MINUTE
    came = np.where(np.arange(N) < 1000, due, -1)
    assert (
        both({"quality": {"of": "positive_rate", "within": 0.1}}, edited(found, label_due_ns=due, label_ns=came))
        is status
    )


@pytest.mark.parametrize(("split", "status"), [("customer", Status.PASS), ("request", Status.FAIL)])
def test_a_customer_meets_one_version(split, status):
    """A tenth of the requests is a tenth of the customers, or it is nearly all of them."""
    customer = np.arange(N) % 180  # each asks ten times
    mine = customer % 10 == 0 if split == "customer" else (np.arange(N) // 180 + customer) % 10 == 0
    mine &= np.arange(N) >= 1  # from the release on
    items = columns(entity=customer, version=np.where(mine, "v2", "v1"), touched=mine.astype(np.uint64))
    found = evidence(run(items, events=(record(planned=1, delivered=1, potent=1, at=1, until=N),)))
    when = [{"event": "e", "at": "1s", "release": {"version": "v2"}}]
    at_most = {"exposure": {"version": "v2", "max": "20%", "by": "customer"}}
    assert both(at_most, found, when=when, warmup="0s", steady_state=[]) is status
    requests = {"exposure": {"version": "v2", "max": "20%"}}
    assert both(requests, found, when=when, warmup="0s", steady_state=[]) is Status.PASS


def test_an_alert_that_one_route_alone_has_heard_of_is_on_no_other():
    it = {"alert": {"field": "amount", "route": "pagerduty"}, "after": "e", "within": "8m"}
    heard = alerts(firing(700), firing(700, route="pagerduty"))
    beats = tuple(Note(n.at_ns, "heartbeat", {"route": "pagerduty"}) for n in notes() if n.kind == "heartbeat")
    assert both(it, heard) is Status.UNKNOWN  # no heartbeat over that route: silence there would prove nothing

    def listening(found):
        more = {
            name: replace(getattr(found, name), notes=(*getattr(found, name).notes, *beats))
            for name in ("main", "twin")
        }
        return replace(found, **more)

    assert both(it, listening(heard)) is Status.PASS
    assert both(it, listening(alerts(firing(700)))) is Status.FAIL
    assert (
        both({"alert": {"field": "amount"}, "after": "e", "within": "8m"}, listening(alerts(firing(700))))
        is Status.PASS
    )


@pytest.mark.parametrize(
    ("unready", "status"),
    [((), Status.PASS), ((660,), Status.FAIL), ((600,), Status.FAIL), ((590,), Status.PASS), ((720,), Status.PASS)],
)
def test_who_is_ready_throughout_is_never_unready(unready, status):
    it = {"readiness": {"to": "ready_throughout"}, "after": "e", "within": "2m"}
    assert both(it, ready(*unready)) is status
    assert both(it, evidence()) is Status.UNKNOWN  # nobody asked


def test_a_decision_that_is_never_made_is_not_made_seldom():
    misspelt = {"review": {"max": "8%", "decision": "reviw"}}
    assert both(misspelt, evidence()) is Status.UNKNOWN
    assert both({"review": {"max": "8%"}}, evidence()) is Status.UNKNOWN
    once = where(some(1, touched=True), "review", "decision")
    assert both({"review": {"max": "8%"}}, edited(evidence(), decision=once)) is Status.PASS
    usual = evidence()  # in the clean world people are asked: not to be asked any more is an answer
    twin = replace(usual.twin, items={**usual.twin.items, "decision": once})
    assert both({"review": {"max": "8%"}}, replace(usual, twin=twin)) is Status.PASS


def test_labels_that_never_come_are_not_late():
    it, paged = SPECIMENS["labels_seen"].it, {"id": "paged", "alert": {"field": "amount"}, "after": "e", "within": "8m"}
    found = labelled(2)
    assert judged({"id": "it"} | it, found, paged).status is Status.PASS
    never = edited(found, label_due_ns=np.full(N, -1), label_ns=np.full(N, -1))
    assert judged({"id": "it"} | it, never, paged).status is Status.UNKNOWN


def test_where_people_react_somebody_did():
    told = Note(0, "feedback", {"left": 0, "withheld": 0, "again": 0})
    found = evidence()
    rate = {"error_rate": {"max": "1%"}}
    for data, status in (({}, Status.UNKNOWN), ({"left": 1}, Status.PASS)):
        note = replace(told, data=told.data | data)
        assert both(rate, replace(found, main=replace(found.main, notes=(*found.main.notes, note)))) is status

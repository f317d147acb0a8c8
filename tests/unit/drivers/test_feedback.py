"""Reactions to decisions: pure in key, decision and a uniform drawn with the plan."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.drivers.feedback import Reactions
from simulator.drivers.record import Planned, requests
from simulator.history.schema import Outcome
from simulator.plan import plan
from simulator.scenario.model import Feedback, Scenario
from simulator.scenario.quantities import DAY, HOUR, MINUTE
from simulator.targets.codecs import codec
from simulator.targets.model import Target
from simulator.targets.protocol import Reply
from simulator.world.chunk import joined, part, taken
from simulator.world.populations import get

RULES = Feedback.model_validate({"on": ["block"], "leave": 0.3, "again": 0.2, "away": "1d", "after": "5m"})


class Codec:
    """The reply's body is its decision."""

    def decode(self, status, body, rows):  # noqa: ARG002 - as codecs do
        return Reply(Outcome.OK, "v1", (0.5,), (body.decode().strip('"'),))


class Done:
    failure = None
    status = 200

    def __init__(self, planned, decision):
        self.planned, self.reply, self.ended_ns = planned, f'"{decision}"'.encode(), planned.scheduled_ns


def request(name, at, entity, u=0.5):
    return Planned(0, name, at, b"", (0,), (-1,), 0.0, entity=entity, react_u=u)


@pytest.fixture
def reactions():
    return Reactions(RULES, Codec())


def test_who_leaves_stays_away_for_so_long_and_nobody_else(reactions):
    reactions.concluded(Done(request("main-1", 0, 7, u=0.29), "block"))
    assert not reactions.comes(request("main-2", HOUR, 7), HOUR)
    assert reactions.comes(request("main-3", HOUR, 8), HOUR)
    assert reactions.comes(request("main-4", DAY, 7), DAY)
    assert (reactions.left, reactions.withheld) == (1, 1)


@pytest.mark.parametrize(("u", "decision"), [(0.31, "block"), (0.1, "approve")])
def test_others_come_again(reactions, u, decision):
    reactions.concluded(Done(request("main-1", 0, 7, u=u), decision))
    assert reactions.comes(request("main-2", HOUR, 7), HOUR)


def test_a_second_try_is_sent_once_and_only_after_that_decision(reactions):
    reactions.concluded(Done(request("main-1", 0, 7, u=0.9), "block"))
    reactions.concluded(Done(request("main-2", 0, 8, u=0.9), "approve"))
    again = [request(name, 5 * MINUTE, entity) for name, entity in [("main-1~1000", 7), ("main-2~1000", 8)]]
    assert [reactions.comes(one, 5 * MINUTE) is not None for one in again] == [True, False]
    assert not reactions.comes(again[0], 5 * MINUTE)


def test_a_second_try_is_known_to_be_idle_once_its_first_one_is_done(reactions):
    reactions.concluded(Done(request("main-1", 0, 7, u=0.9), "block"))
    made, idle, other = (request(name, 5 * MINUTE, 7) for name in ("main-1~1000", "main-2~1000", "main-3"))
    assert not reactions.idle(idle, -1)  # the first one may not have been answered yet
    assert [reactions.idle(one, 0) for one in (made, idle, other)] == [False, True, False]


def test_the_plan_holds_the_second_tries_that_may_come_and_changes_nothing_else():
    def made(feedback):
        given = {"population": "payments", "traffic": {"rate": "20/s", "for": "5m"}, "feedback": feedback}
        cell = Scenario.model_validate({"seatrial": 1, "title": "t", "seed": 1, "given": given})
        return joined(list(plan(cell, get("payments"))))

    clean = made(None)
    chunk = made({"on": ["block"], "again": 0.25, "after": "2s"})
    second = chunk.copy == 1000
    np.testing.assert_array_equal(chunk.index[~second], clean.index)
    np.testing.assert_array_equal(np.sort(chunk.index[second]), clean.index[clean.react_u >= 0.75])
    assert (chunk.label_due_ns[second] == -1).all()
    for name, column in clean.sent.items():
        np.testing.assert_array_equal(chunk.sent[name][~second], column)


def tries():
    given = {"population": "payments", "traffic": {"rate": "8/s", "for": "8m"}}
    given["feedback"] = {"on": ["block"], "leave": 0.3, "away": "1d", "again": 0.2, "after": "5m"}
    retyped = {
        "event": "retyped",
        "at": "30s",
        "for": "1m",
        "retype": {"field": "hour", "to": "string", "share": "50%"},
    }
    cell = Scenario.model_validate({"seatrial": 1, "title": "t", "seed": 1, "given": given, "when": [retyped]})
    return joined(list(plan(cell, get("payments"))))


@pytest.mark.parametrize("protocol", ["oip-v2", "json"])
def test_a_second_try_says_what_the_codec_would_write(reactions, protocol):
    chunk = tries()
    target = Target.model_validate(
        {"target": 1, "start": {"url": "http://127.0.0.1"}, "protocol": protocol, "read": {"score": "score"}}
    )
    bodies = codec(target, get("payments").fields).encode(chunk)
    whole = requests(chunk, bodies, range(len(chunk)))
    sent = 0
    for one in whole:
        if "~" in one.request_id:
            assert reactions.comes(one._replace(body=b""), one.scheduled_ns).body == one.body
            sent += 1
        else:
            reactions.concluded(Done(one._replace(entity=-1, react_u=0.9), "block"))
    assert sent > 100
    assert reactions.again == sent


def sent(chunks, *, left_out):
    """(ids that are sent, those who were withheld), when everybody meets a decision that people react to."""
    reactions, now, came = Reactions(RULES, Codec()), 0, []
    for chunk in chunks:
        coming = reactions.may_come(chunk, now) if left_out else np.ones(len(chunk), dtype=bool)
        for one in requests(taken(chunk, np.flatnonzero(coming)), [b""] * int(coming.sum()), range(len(chunk))):
            now = one.scheduled_ns
            if (comes := reactions.comes(one, now)) is not None:
                came.append(comes.request_id)
                reactions.concluded(Done(one, "block"))
    return came, reactions.withheld


@pytest.mark.parametrize("rows", [1, 40, 4000])
def test_who_is_left_out_would_not_have_come(rows):
    whole = tries()
    chunks = [part(whole, first, min(first + rows, len(whole))) for first in range(0, len(whole), rows)]
    came, withheld = sent(chunks, left_out=False)
    assert sent(chunks, left_out=True) == (came, withheld)
    assert withheld > 100
    assert any("~" in name for name in came)


def test_most_of_those_who_stay_away_are_left_out(reactions):
    chunk = tries()
    back = int(chunk.entity[0])  # at the moment of the first request
    until = {entity: DAY for entity in chunk.entity.tolist() if entity % 2}
    reactions._away_until = until | {back: int(chunk.scheduled_ns[0])}
    coming = reactions.may_come(chunk, -1)
    assert coming.tolist() == [entity % 2 == 0 or entity == back for entity in chunk.entity.tolist()]
    assert reactions.withheld == int((~coming & (chunk.copy == 0)).sum())

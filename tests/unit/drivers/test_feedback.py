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
from simulator.world.chunk import joined
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
    given = {"population": "payments", "traffic": {"rate": "20/s", "for": "3m"}}
    given["feedback"] = {"on": ["block"], "leave": 0.3, "away": "1m", "again": 0.25, "after": "2s"}
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
    whole = requests(chunk, bodies, 0)
    sent = 0
    for one in whole:
        if "~" in one.request_id:
            assert reactions.comes(one._replace(body=b""), one.scheduled_ns).body == one.body
            sent += 1
        else:
            reactions.concluded(Done(one._replace(entity=-1, react_u=0.9), "block"))
    assert sent > 100
    assert reactions.again == sent


def test_whoever_comes_has_a_body_that_was_written(reactions):
    chunk = tries()
    for one in requests(chunk, [b""] * len(chunk), 0)[::3]:
        reactions.concluded(Done(one, "block"))
    for one in requests(chunk, [b""] * len(chunk), 0)[::50]:
        reactions._away_until[one.entity] = one.scheduled_ns  # back at this very moment
    written = reactions.written(chunk)
    planned = requests(chunk, [b"body" if wanted else b"" for wanted in written.tolist()], 0)
    first = [one for one in planned if "~" not in one.request_id]
    assert [bool(one.body) for one in first] == [reactions.comes(one, one.scheduled_ns) is not None for one in first]
    assert 0 < written.sum() < len(first)

"""Refusals that are let through at random stand for all refusals: none counts twice, and none for the other side."""

from __future__ import annotations

import json

import numpy as np
import pytest
from conftest import MINUTE, ROW, SECOND, run
from test_control import get, label

from reference_service.guards.exploration import chosen
from reference_service.policy import PolicyError, read

REFUSED = {**ROW, "amount": 99.0, "foreign": True}
POLICY = {
    "explore_share": 0.25, "block_from": 0.6, "label_horizon_ns": MINUTE, "cohort_ns": SECOND, "group_field": "method",
}  # fmt: skip


async def lived(h, n=400):
    """So many refusals and as many approvals; who of them was let through."""
    through = []
    for k in range(n):
        *_, decision = await h.one(REFUSED, request_id=f"bad-{k}")
        through.append(decision == "approve")
        assert (await h.one({**ROW, "amount": 1.0}, request_id=f"good-{k}"))[3] == "approve"
    return through


@pytest.mark.parametrize("everybody", [True, False], ids=["all labels come", "those of refusals do not"])
def test_quality_is_that_of_all_decisions_whoever_else_gets_a_label(harness, everybody):
    async def body():
        h = harness(policy=POLICY)
        through = await lived(h)
        labels = [(f"good-{k}", 0, 0) for k in range(400)]
        labels += [(f"bad-{k}", 0, 1) for k in range(400) if everybody or through[k]]
        assert (await label(h, *labels))[0] == len(labels)
        await h.clock.advance(3 * MINUTE)
        tested = h.service.cohorts.matured_losses(h.clock.now_ns())
        assert len(tested) == len(labels)  # whoever tests for harm leaves no label out
        h.tick()
        quality = await get(h, "/v1/quality")
        stands_for = sum(through) / 0.25
        assert quality["n"] == 400 + sum(through)
        assert quality["positive_rate"] == pytest.approx(stands_for / (400 + stands_for))
        assert quality["groups"]["card"]["n"] == 400 + sum(through)
        assert quality["groups"]["card"]["false_negative"]["rate"] == 0  # every one of them had been refused

    run(body())


def test_where_nobody_is_let_through_every_label_counts(harness):
    async def body():
        h = harness(policy={**POLICY, "explore_share": 0.0})
        through = await lived(h, 50)
        assert not any(through)
        await label(h, *((f"{who}-{k}", 0, int(who == "bad")) for k in range(50) for who in ("good", "bad")))
        await h.clock.advance(3 * MINUTE)
        h.tick()
        quality = await get(h, "/v1/quality")
        assert (quality["n"], quality["positive_rate"]) == (100, 0.5)

    run(body())


@pytest.mark.parametrize(("true", "suspected"), [(1, False), (0, True)])
def test_the_judge_of_a_canary_takes_a_refusal_for_one_though_it_was_let_through(harness, true, suspected):
    """What the canary rightly refused was counted as its mistake, since it had been let through."""

    async def body():
        h = harness(policy=POLICY)
        body = json.dumps({"version": "v2", "by": "canary", "share": 0.5}).encode()
        assert (await h.call("POST", "/v1/releases", body))[0] == 202
        told = []
        for k in range(200):
            _, reply = await h.infer({**REFUSED, "customer": k}, request_id=f"r-{k}")
            if reply["model_version"] == "v2":
                told.append((f"r-{k}", 0, true))
        await label(h, *told)
        assert (h.service.releases.trial is None or h.service.releases.trial.judge.evidence_log10 > 0.1) == suspected

    run(body())


def test_the_judge_sees_the_model_refuse_whoever_is_let_through(harness, monkeypatch):
    async def body():
        h = harness(policy=POLICY)
        body = json.dumps({"version": "v2", "by": "canary", "share": 0.5}).encode()
        assert (await h.call("POST", "/v1/releases", body))[0] == 202
        seen = []
        monkeypatch.setattr(type(h.service.releases), "observe", lambda _, __, ___, answer, *____: seen.append(answer))
        decisions = [(await h.one(REFUSED, request_id=f"r-{k}"))[3] for k in range(60)]
        assert set(decisions) == {"approve", "block"}
        assert [answer.blocked for answer in seen] == [True] * 60

    run(body())


@pytest.mark.parametrize("share", [1, 0.9999999, -0.2, 7, 1e-9])
def test_a_share_that_leaves_nobody_to_tell_apart_is_refused(share):
    with pytest.raises(PolicyError, match="explore_share is 0, or from"):
        read({}, {"explore_share": share})


@pytest.mark.parametrize("share", [0.05, 0.25])
def test_neighbours_do_not_share_their_lot(share):
    """A checksum gave ids that are counted up one lot in ten at a time, and every estimate too narrow a bound."""
    lots = np.array([[chosen(f"r-{k}", row, share) for row in range(4)] for k in range(5_000)])
    assert abs(lots.mean() - share) < 4 * (share * (1 - share) / lots.size) ** 0.5
    for one, other in ((lots[1:], lots[:-1]), (lots[:, 1:], lots[:, :-1])):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 4 / one.size**0.5

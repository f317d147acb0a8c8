"""Human review: how many cases, which ones, whose word counts; and refusals that are allowed at random."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ROW, START, plain, run
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reference_service.guards import exploration
from reference_service.monitor.review import ReviewQueue, ReviewShare
from reference_service.policy import Bands, Policy, tag

POLICY = Policy(review_from=0.95, block_from=0.995)
DRAW = np.random.default_rng(3)


def looked(share, bands, scores, ticks=200):
    """Shares of review over ticks of a hundred scores each."""
    found = []
    for tick in range(ticks):
        batch = scores(tick)
        share.look(START + tick, "v1", bands, batch)
        found.append(float(((batch >= bands.review_from) & (batch < bands.block_from)).mean()))
    return np.array(found)


def test_scores_as_in_training_move_nothing():
    share, bands = ReviewShare(POLICY), Bands(POLICY)
    looked(share, bands, lambda _: DRAW.random(100), 1_000)
    assert bands.review_from == POLICY.review_from
    assert not share.trail


def test_scores_that_rise_do_not_bury_the_people_and_the_old_border_comes_back():
    share, bands = ReviewShare(POLICY), Bands(POLICY)
    found = looked(share, bands, lambda k: DRAW.random(100) ** (0.25 if 50 <= k < 150 else 1.0), 250)
    assert found[52:58].mean() > 0.12  # nothing is done on a hunch
    assert POLICY.review_low < found[80:150].mean() < POLICY.review_high
    assert bands.review_from == POLICY.review_from
    assert bands.tag == tag(POLICY)
    assert next(move.tag != tag(POLICY) for move in share.trail)


def test_scores_that_fall_do_not_leave_the_people_idle():
    share, bands = ReviewShare(POLICY), Bands(POLICY)
    found = looked(share, bands, lambda _: DRAW.random(100) * 0.9, 100)
    assert found[:15].sum() == 0
    assert POLICY.review_low < found[40:].mean() < POLICY.review_high


def tolerated(policy):
    """Shares between which the latest rows prove nothing: four standard errors about each end of the band."""
    shares = np.linspace(1e-4, 0.5, 5_000)
    reach = 4 * np.sqrt(shares * (1 - shares) / policy.review_rows)
    unsure = shares[(shares + reach >= policy.review_low) & (shares - reach <= policy.review_high)]
    return unsure[0], unsure[-1]


@given(power=st.floats(0.05, 40), seed=st.integers(0, 100))
@example(power=0.5, seed=1)  # 8.75 % of the scores, over the band but not surely so: nothing moves
@example(power=0.05, seed=0)
@example(power=40, seed=0)
@settings(max_examples=15, deadline=None)
def test_whatever_the_scores_become_the_share_ends_in_its_band(power, seed):
    draw = np.random.default_rng(seed)
    share, bands = ReviewShare(POLICY), Bands(POLICY)
    found = looked(share, bands, lambda _: draw.random(100) ** power, 120)
    blocked = float((draw.random(100_000) ** power >= POLICY.block_from).mean())
    if blocked < 0.9:
        low, high = tolerated(POLICY)
        error = 4 * np.sqrt(np.array([low * (1 - low), high * (1 - high)]) / (60 * 100))  # of the mean itself
        assert low - error[0] <= found[60:].mean() <= high + error[1]
    assert bands.review_from <= bands.block_from


@pytest.mark.parametrize("seed", range(4))
def test_scores_wait_only_while_they_could_not_move_the_border_whatever_they_were(seed):
    """A few a tick: at most ticks nothing is worked out."""
    draw = np.random.default_rng(seed)
    lazy, eager = ReviewShare(POLICY), ReviewShare(POLICY)
    bands = Bands(POLICY), Bands(POLICY)
    for tick in range(2_500):
        scores = draw.random(draw.poisson(4)) ** (0.3 if 800 <= tick < 1_600 else 1.0)
        eager._room = -1
        for share, its in zip((lazy, eager), bands, strict=True):
            share.look(START + tick, "v1", its, scores)
    assert lazy.trail == eager.trail
    assert len(lazy.trail) > 1


def cases(reply):
    return [(case["id"], case["why"]) for case in json.loads(reply)["waiting"]]


def test_border_cases_wait_for_people_and_their_verdict_wins_and_is_a_label(harness):
    async def body():
        h = harness()
        score = (await h.one({**ROW, "amount": 60.0}, request_id="edge"))[2]
        assert 0.6 <= score < 0.8
        assert (await h.one({**ROW, "amount": 1.0}, request_id="plain"))[3] == "approve"
        assert cases((await h.call("GET", "/v1/reviews"))[1]) == [("edge", "margin")]
        said = {"verdicts": [{"id": "edge", "verdict": "block", "by": "ada"}, {"id": "plain", "verdict": "block",
                "by": "ada"}, {"id": "edge", "verdict": "approve", "by": "bob"}]}  # fmt: skip
        status, reply = await h.call("POST", "/v1/reviews", json.dumps(said).encode())
        assert (status, json.loads(reply)) == (202, {"accepted": 1, "decided": 1, "unknown": 1})
        assert cases((await h.call("GET", "/v1/reviews"))[1]) == []
        stands = json.loads((await h.call("GET", "/v1/decision?id=edge&row=0"))[1])
        assert (stands["decision"], stands["by"], stands["model"]) == ("block", "person", "review")
        assert json.loads((await h.call("GET", "/v1/decision?id=plain"))[1])["by"] == "model"
        (_, _, record) = h.service.log.recent(3)
        assert (record.id, record.decision, record.source, record.reasons) == ("edge", "block", "person", "review:ada")
        # The truth that comes later by another way is a second label of that row.
        late = {"labels": [{"id": "edge", "row": 0, "label": 0}, {"id": "plain", "row": 0, "label": 0}]}
        reply = json.loads((await h.call("POST", "/v1/labels", json.dumps(late).encode()))[1])
        assert reply == {"accepted": 1, "duplicate": 1, "unknown": 0}
        await h.clock.advance(8 * 3600 * 1_000_000_000)
        known = json.loads((await h.call("GET", "/v1/quality"))[1])
        assert (known["n"], known["positive_rate"]) == (2, 0.5)

    run(body())


def test_what_is_unlike_anything_is_seen_by_people_whatever_its_score(harness):
    async def body():
        h = harness()
        for k in range(4_100):
            await h.infer({**plain(k), "foreign": False, "amount": 20.0 + k % 30, "age_days": 30 + k % 20})
        h.tick()
        assert all(why == "margin" for _, why in cases((await h.call("GET", "/v1/reviews?limit=9999"))[1]))
        await h.infer({**ROW, "amount": 0.5, "age_days": 0, "method": "transfer", "foreign": True}, request_id="odd")
        assert ("odd", "unusual") in cases((await h.call("GET", "/v1/reviews?limit=9999"))[1])
        # A verdict is a record without a row, and no measure of what is unusual.
        waiting = [name for name, _ in cases((await h.call("GET", "/v1/reviews?limit=9999"))[1])]
        said = [{"id": name, "verdict": "block", "by": "ada"} for name in waiting]
        for k in range(max(0, 50 - len(said))):  # enough of them to be a share of the latest
            await h.one({**ROW, "amount": 60.0}, request_id=f"edge{k}")
            said.append({"id": f"edge{k}", "verdict": "block", "by": "ada"})
        await h.call("POST", "/v1/reviews", json.dumps({"verdicts": said}).encode())
        h.tick()
        await h.infer({**ROW, "amount": 0.4, "age_days": 0, "method": "transfer", "foreign": True}, request_id="odder")
        assert ("odder", "unusual") in cases((await h.call("GET", "/v1/reviews?limit=9999"))[1])

    run(body())


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("GET", "/v1/reviews", b""), ("POST", "/v1/reviews", b"{}"), ("GET", "/v1/decision", b"")],
)
def test_review_wants_the_token_and_a_well_formed_question(harness, method, path, body):
    async def ask():
        h = harness()
        assert (await h.call(method, path, body, token=""))[0] == 401
        assert (await h.call(method, path, body, token="wrong"))[0] == 401  # noqa: S106 - a wrong one
        if body or path.endswith("decision"):
            assert (await h.call(method, path, body))[0] == 400

    run(ask())


def test_the_queue_makes_room_and_says_so(harness):
    async def body():
        h = harness(policy={"review_queue": 10})
        for _ in range(25):
            await h.infer({**ROW, "amount": 60.0})
        reply = json.loads((await h.call("GET", "/v1/reviews"))[1])
        assert (len(reply["waiting"]), reply["offered"], reply["dropped"]) == (10, 25, 15)
        assert reply["waiting"][0]["id"] == "main-15"

    run(body())


def test_refusals_allowed_at_random_say_so_with_their_propensity(harness):
    async def body():
        h = harness(policy={"explore_share": 0.25, "block_from": 0.6})
        found = [await h.one({**ROW, "amount": 99.0, "foreign": True}, request_id=f"r{k}") for k in range(400)]
        kinds = {(source, reasons, decision) for source, reasons, _, decision in found}
        assert kinds == {("model", "explored:0.25", "approve"), ("model", "", "block")}
        share = sum(decision == "approve" for *_, decision in found) / 400
        assert abs(share - 0.25) < 0.08
        again = await h.one({**ROW, "amount": 99.0, "foreign": True}, request_id="r0")
        assert again[3] == found[0][3]  # a retry meets the same fate
        assert next(d.reasons for d in h.service.log.recent(401) if d.decision == "approve") == "explored:0.25"
        h = harness(policy={"block_from": 0.6})
        assert {(await h.one({**ROW, "amount": 99.0, "foreign": True}))[3] for _ in range(50)} == {"block"}

    run(body())


def test_a_propensity_is_read_where_it_was_written():
    assert exploration.propensity(f"repaired,{exploration.reason(0.05)}") == 0.05
    assert exploration.propensity("quarantine:amount") == 1.0


def test_what_counts_as_most_unusual_is_the_quantile_of_the_latest_at_every_tick():
    draw, queue, seen = np.random.default_rng(7), ReviewQueue(POLICY), []
    for k in range(900):
        level = 3.0 if k < 500 else 2.0  # what is usual changes, and ties are many
        scores = np.round(draw.normal(level, 0.3, draw.integers(0, 20)), 2).tolist()
        queue.offer([SimpleNamespace(anomaly=score, decision="approve", score=None) for score in [*scores, None]])
        queue.tick()
        seen += scores
        latest = seen[-4096:]
        wanted = np.quantile(latest, 1 - POLICY.review_unusual) if len(latest) == 4096 else math.inf
        assert queue._unusual == wanted


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_no_share_of_unusual_ones_is_too_small_or_too_large_to_be_said(share):
    queue = ReviewQueue(Policy(review_unusual=share))
    scores = np.arange(5000.0)
    queue.offer([SimpleNamespace(anomaly=score, decision="approve", score=None) for score in scores.tolist()])
    queue.tick()
    assert queue._unusual == np.quantile(scores[-4096:], 1 - share)

"""Which arm is nearer to the truth: the interval covers however often it is looked at, and tells a worse arm."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from conftest import MINUTE, plain, run

from reference_service.release.gain import CROWDS, LABELS, Gain, Labelled, interval
from reference_service.release.routing import Split

LOOKS, RUNS = 12, 150


def day(rng, gain, who, *, delta):
    """Labels of one day: each customer has a risk of its own, and the new version is off by `delta`."""
    entity, risk, split = who
    met = rng.integers(0, len(entity), 1500)
    new = split[met]
    score = risk[met] + delta * new
    loss = (score - (rng.random(len(met)) < risk[met])) ** 2
    for arm in (0, 1):
        of = new == bool(arm)
        crowd = entity[met][of]
        for column, values in enumerate((np.ones(of.sum()), np.ones(of.sum()), loss[of])):
            np.add.at(gain._sums[arm, :, column], crowd, values)


@pytest.mark.parametrize(("delta", "told"), [(0.0, (0, 0)), (0.15, (140, RUNS))])
def test_the_interval_covers_at_all_looks_together(delta, told):
    rng = np.random.default_rng(20261129)
    missed = worse = better = 0
    for _ in range(RUNS):
        gain = Gain(0, MINUTE)
        who = 1 + rng.integers(0, 255, 3000), rng.beta(0.5, 8, 3000), rng.random(3000) < 0.5
        found = []
        for _ in range(LOOKS):
            day(rng, gain, who, delta=delta)
            found.append(interval(gain.evidence()))
        assert all(one.why == "" for one in found[4:])
        spans = [(one.lower, one.upper) for one in found if one.gain is not None]
        missed += any(not low <= -(delta**2) <= high for low, high in spans)
        worse += any(high < 0 for _, high in spans)
        better += any(low > 0 for low, _ in spans)
    assert missed <= 0.01 * RUNS + 3  # alpha, and what chance adds to it once in a thousand
    assert told[0] <= worse <= max(told[1], missed)
    assert better <= missed


def filled(labels=LABELS, crowds=CROWDS, **last):
    rng = np.random.default_rng(7)
    gain = Gain(0, MINUTE)
    for new in (False, True):
        for k in range(labels):
            gain.add(Labelled(0, 1 + k % crowds, float(rng.random()), 1.0, refused=False), new=new)
    if last:
        gain.add(Labelled(0, 1, **{"loss": 0.1, "weight": 1.0, "refused": False} | last), new=True)
    return gain


def said(gain, before_ns=MINUTE):
    gain.mature(before_ns)
    return interval(gain.evidence())


def test_too_few_labels_or_customers_give_no_interval_and_say_why():
    assert said(filled()).why == ""
    assert "999 labels of 50 crowds" in said(filled(LABELS - 1)).why
    assert "of 49 crowds" in said(filled(crowds=CROWDS - 1)).why
    assert said(filled(), MINUTE - 1).gain is None  # not matured


def test_an_arm_whose_refusals_have_no_labels_is_not_compared():
    """S14: without the slice of refusals that were allowed at random nobody knows which is better."""
    blind = filled()
    blind.refused(new=True)
    assert said(blind).why == "an arm refuses, and no refusal has a matured label"
    seen = filled(weight=10.0)
    seen.refused(new=True)
    assert said(seen).gain is not None


def test_a_refusal_that_was_allowed_counts_for_all_that_it_stands_for():
    gain = filled(loss=1.0, weight=1e9)
    assert said(gain).gain == pytest.approx(0.5 - 1.0, abs=0.05)


def test_crowds_are_of_whole_customers_about_alike_in_size_and_in_both_arms():
    split = Split("v2/1", 0.5)
    crowds = np.array([split.crowd(k) for k in range(20_000)])
    assert [split.crowd(k) for k in range(50)] == crowds[:50].tolist()
    for arm in (True, False):
        sizes = np.bincount(crowds[[split.takes(k) == arm for k in range(20_000)]], minlength=256)
        assert sizes[0] == 0
        assert 10 < sizes[1:].min() <= sizes[1:].max() < 90


async def told(h):
    status, body = await h.call("GET", "/v1/releases")
    assert status == 200
    return msgspec.json.decode(body)["releases"][-1]


@pytest.mark.parametrize(("wrong", "sure"), [("v2", True), (None, False)])
def test_a_worse_arm_is_told_as_worse_and_agrees_with_the_truth(harness, wrong, sure):
    """The truth is drawn beside the service: what it says of its arms is held against a sum of our own."""

    async def body():
        h = harness(policy={"label_horizon_ns": 10 * MINUTE}, safeguards={"rollback": False})
        assert (await h.call("POST", "/v1/releases", b'{"version":"v2","by":"ab","share":0.5}'))[0] == 202
        rng, losses = np.random.default_rng(3), {"v1": [], "v2": []}
        for k in range(2 * LABELS + 300):
            row = {**plain(k), "amount": 20.0 + k % 30, "method": "card", "foreign": False}
            _, reply = await h.infer(row, request_id=f"r-{k}")
            version, score = reply["model_version"], reply["outputs"][0]["data"][0]
            label = int(rng.random() < (0.05 if version == wrong else score))
            losses[version].append((score - label) ** 2)
            sent = msgspec.json.encode({"labels": [{"id": f"r-{k}", "label": label}]})
            assert (await h.call("POST", "/v1/labels", sent))[0] == 202
        assert (await told(h))["quality"]["gain"] is None  # none has matured
        await h.clock.advance(12 * MINUTE)
        h.tick()
        said = (await told(h))["quality"]
        truth = np.mean(losses["v1"]) - np.mean(losses["v2"])
        assert said["labels"] == {"before": len(losses["v1"]), "new": len(losses["v2"])}
        assert said["gain"] == pytest.approx(truth, abs=1e-5)
        assert said["from"] < truth < said["to"]
        assert (said["to"] < 0) == sure
        _, metrics = await h.call("GET", "/metrics")
        assert 'seatrial_service_arm_gain{version="v2",than="v1",bound="to"}' in metrics.decode()

    run(body())


def test_what_an_arm_of_another_split_decided_is_of_neither_arm(harness):
    """A process decides by the release before until it has taken the next one up, which began a moment ago."""

    async def body():
        h = harness()
        await h.call("POST", "/v1/releases", b'{"version":"v2","by":"ab","share":0.5}')
        releases = h.service.releases
        for version in ("v1", "v2", "v0"):
            at_ns = releases.trial.release.started_ns
            releases.learn(version, Labelled(at_ns, 7, 0.1, 1.0, refused=False))
        releases.matured(1 << 62, [])
        assert releases.trial.gain.view()["labels"] == {"before": 1, "new": 1}

    run(body())


def test_a_cohort_that_was_given_up_says_nothing_neither_then_nor_later(harness):
    """Of a feed that was down, what came of it first may be of one outcome: half a cohort is no sample of its own."""

    async def body():
        h = harness(policy={"label_horizon_ns": 10 * MINUTE, "label_patience_ns": 10 * MINUTE})
        assert (await h.call("POST", "/v1/releases", b'{"version":"v2","by":"ab","share":0.5}'))[0] == 202

        async def labels(numbers):
            sent = msgspec.json.encode({"labels": [{"id": f"r-{k}", "label": k % 2} for k in numbers]})
            assert msgspec.json.decode((await h.call("POST", "/v1/labels", sent))[1])["accepted"] == len(numbers)

        async def known():
            h.tick()
            return sum((await told(h))["quality"]["labels"].values())

        for k in range(200):
            await h.infer(plain(k), request_id=f"r-{k}")
            if k % 100 == 99:
                h.tick()
                await h.clock.advance(3 * MINUTE)
        await labels([*range(0, 100, 5), *range(100, 200)])  # a fifth of the first, all of the second
        await h.clock.advance(12 * MINUTE)
        assert await known() == 0  # the first is waited for
        await h.clock.advance(12 * MINUTE)
        assert await known() == 100
        await labels([k for k in range(100) if k % 5])
        await h.clock.advance(MINUTE)
        assert await known() == 100
        assert h.service.cohorts.judged()[1] == []

    run(body())


def test_what_has_matured_is_put_together_at_every_tick_whoever_looks(harness):
    """Else a split that nobody looks at would hold a table for each minute of it."""

    async def body():
        h = harness(policy={"label_horizon_ns": MINUTE})
        assert (await h.call("POST", "/v1/releases", b'{"version":"v2","by":"ab","share":0.5}'))[0] == 202
        for k in range(20):
            await h.infer(plain(k), request_id=f"r-{k}")
            await h.call("POST", "/v1/labels", msgspec.json.encode({"labels": [{"id": f"r-{k}", "label": 0}]}))
            await h.clock.advance(MINUTE)
            h.tick()
        assert len(h.service.releases.trial.gain._young) < 5

    run(body())

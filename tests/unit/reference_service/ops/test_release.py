from __future__ import annotations

import asyncio
import json
import math

import msgspec
import numpy as np
import pytest
from conftest import FIELDS, MINUTE, ROW, SECOND, LinearBundle, plain, run
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_service.bundle import BundleError
from reference_service.policy import Policy
from reference_service.release.judge import BOTH, GOOD, Answer, CanaryJudge, Exposure, Ownership, Seen, SwapJudge
from reference_service.release.routing import Split

POLICY = Policy()


def fault(version, answer):
    """The model of one version answers, or does, something else."""

    def wrap(call):
        def through(asked, values):
            return answer() if asked == version else call(asked, values)

        return through

    return wrap


def explode():
    raise RuntimeError


async def start(h, version="v2", by="canary", share=0.5):
    body = json.dumps({"version": version, "by": by, "share": share}).encode()
    status, reply = await h.call("POST", "/v1/releases", body)
    return status, json.loads(reply)


async def versions_of(h, requests):
    found = []
    for k in range(requests):
        status, reply = await h.infer({**ROW, "customer": k})
        assert status == 200
        found.append(reply["model_version"])
    return found


async def view(h):
    return json.loads((await h.call("GET", "/v1/releases"))[1])


# ---------------------------------------------------------------- routing


@given(share=st.floats(0, 1), release=st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_a_canary_gets_its_share_and_no_more(share, release):
    split = Split(f"digest/{release}", share)
    taken = sum(split.takes(entity) for entity in range(4000)) / 4000
    once = math.log(2e6) / 4000  # in a million, by Bernstein's inequality: a share near 0 or 1 is no normal variable
    assert abs(taken - share) < math.sqrt(2 * share * (1 - share) * once) + 2 / 3 * once


def test_a_customer_always_meets_the_same_arm_and_another_release_burdens_others():
    first, second = Split("d/1", 0.1), Split("d/2", 0.1)
    of_first = {e for e in range(5000) if first.takes(e)}
    of_second = {e for e in range(5000) if second.takes(e)}
    assert of_first == {e for e in range(5000) if Split("d/1", 0.1).takes(e)}
    assert len(of_first & of_second) < 0.3 * len(of_first)
    assert {Split("d/1", 0.5).takes(f"customer-{k}") for k in range(20)} == {True, False}


# ---------------------------------------------------------------- judge


def trial(judge, draw, requests, *, share, champion, canary):
    """Requests until the judge has had enough, or None."""
    for k in range(requests):
        new = draw.random() < share
        # Fallbacks: failures of both arms at these rates would be a finding of their own.
        if judge.request(Answer(fell_back=draw.random() < (canary if new else champion)), new=new):
            return k
    return None


def test_an_a_a_canary_is_rolled_back_less_often_than_alpha():
    alpha, runs = 0.05, 200
    policy = Policy(canary_alpha=alpha)
    draw = np.random.default_rng(7)
    found = [
        trial(CanaryJudge(policy, 0.1), draw, 1500, share=0.1, champion=0.05, canary=0.05 * 1.25) for _ in range(runs)
    ]
    assert sum(k is not None for k in found) <= runs * alpha + 3 * math.sqrt(runs * alpha * (1 - alpha))


def test_a_canary_that_fails_one_request_in_twenty_is_found_within_minutes_of_traffic():
    draw = np.random.default_rng(7)
    found = [
        trial(CanaryJudge(POLICY, 0.1), draw, 40 * 60 * 5, share=0.1, champion=0.001, canary=0.05) for _ in range(20)
    ]
    assert all(k is not None for k in found)
    assert sorted(found)[18] < 40 * 90  # 90 s at 40 requests a second


BREACH = Answer(failed=True, fell_back=True, breach=True)


def test_three_contract_breaches_need_no_statistics():
    judge = CanaryJudge(POLICY, 0.5)
    assert [judge.request(BREACH, new=True) for _ in range(3)] == ["", "", "breach"]
    champion = CanaryJudge(POLICY, 0.5)
    assert not any(champion.request(BREACH, new=False) for _ in range(50))


@pytest.mark.parametrize("bad", ["failed", "slow", "fell_back", "blocked"])
def test_the_judge_sees_each_kind_of_bad_event(bad):
    judge = CanaryJudge(POLICY, 0.5)
    reasons = [judge.request(Answer(**{bad: k % 2 == 0}), new=k % 2 == 0) for k in range(80)]
    names = {"failed": "failure", "slow": "latency", "fell_back": "fallback", "blocked": "block"}
    assert names[bad] in reasons


def test_the_judge_sees_mistakes():
    judge = CanaryJudge(POLICY, 0.5)
    assert "mistake" in [judge.label(new=k % 2 == 0, wrong=k % 2 == 0) for k in range(60)]


def test_events_in_proportion_to_exposure_are_no_evidence():
    metric, exposure = Ownership(1.25), Exposure(0.1)
    for k in range(5000):
        if k % 7 == 0:
            metric.bad(exposure, canary=k % 10 == 0)
        exposure.add(canary=k % 10 == 0)
    assert metric.log_evidence < 0


def test_many_good_answers_at_once_are_as_many_one_by_one():
    single, bulk = CanaryJudge(POLICY, 0.1), CanaryJudge(POLICY, 0.1)
    for k in range(1000):
        single.request(GOOD, new=k % 10 == 0)
    bulk.answered(canary=100, champion=900)
    for judge in (single, bulk):
        for _ in range(3):
            judge.request(Answer(failed=True), new=True)
    assert single.evidence_log10 == bulk.evidence_log10
    assert single.canary_answers == bulk.canary_answers == 103
    for judge in (single, bulk):  # as many bad ones as make each arm unfit, had nothing good gone before
        assert not any(judge.request(Answer(failed=True), new=k % 10 == 0) for k in range(8))


def test_arms_that_are_both_unfit_accuse_nobody():
    judge = CanaryJudge(POLICY, 0.5)
    assert [judge.request(BREACH, new=k % 2 == 0) for k in range(6)][-1] == BOTH


def test_evidence_of_others_multiplies_and_counts_once_however_often_it_is_heard():
    whole, first, second = (CanaryJudge(POLICY, 0.1) for _ in range(3))
    for k, judge in enumerate((first, second)):
        for each in (judge, whole):
            each.answered(canary=9, champion=91)
            each.request(Answer(failed=True), new=True)
            each.request(Answer(slow=True), new=k == 0)
    for _ in range(3):
        second.hear([msgspec.json.decode(msgspec.json.encode(first.told()), type=Seen)])
        first.hear([CanaryJudge(POLICY, 0.1).told(), second.told()])
    assert first.evidence_log10 == pytest.approx(second.evidence_log10)
    assert first.evidence_log10 == pytest.approx(whole.evidence_log10, rel=0.05)  # exposures are each one's own
    assert first.met == second.met == whole.met == 21
    second.hear([])
    assert second.evidence_log10 < first.evidence_log10
    heard = CanaryJudge(POLICY, 0.5)
    heard.hear([Seen({"failure": [9.0] * 6}, 0)])
    assert heard.request(Answer(failed=True), new=True) == "failure"  # the next bad event speaks for all


def test_evidence_of_other_metrics_is_none():
    for logs in ({"smell": [0.0] * 6}, {"failure": [0.0]}):
        with pytest.raises(msgspec.ValidationError, match="evidence of other metrics"):
            msgspec.json.decode(msgspec.json.encode({"logs": logs, "canary_answers": 1}), type=Seen)


def test_a_swap_is_judged_by_a_fixed_rate():
    judge = SwapJudge(POLICY)
    assert not any(judge.request(Answer(failed=k % 200 == 0), new=True) for k in range(5000))
    assert any(judge.request(Answer(failed=True), new=True) for _ in range(10))


# ---------------------------------------------------------------- the whole way


def test_a_canary_serves_its_share_and_every_reply_names_its_version(harness):
    async def body():
        h = harness()
        assert (await start(h, share=0.3))[0] == 202
        found = await versions_of(h, 600)
        assert 0.2 < found.count("v2") / 600 < 0.4
        assert json.loads((await h.call("GET", "/v1/version"))[1])["canary"]["version"] == "v2"

    run(body())


@pytest.mark.parametrize(
    ("answer", "reason"), [(lambda: math.nan, "breach"), (explode, "failure")], ids=["nan", "raises"]
)
def test_a_bad_canary_is_taken_back_and_no_caller_sees_an_error(harness, answer, reason):
    async def body():
        h = harness({"model": fault("v2", answer)})
        await start(h)
        found = await versions_of(h, 120)
        assert "v2" in found[:20]
        assert found[-60:] == ["v1"] * 60
        state = await view(h)
        assert (state["serving"], state["releases"][0]["state"]) == ("v1", "rolled_back")
        assert state["releases"][0]["reason"] == reason
        await h.traffic(10, plain)
        assert [a["labels"]["field"] for a in h.alerts(name="canary_rollback")] == ["v2"]
        assert h.alerts(name="dependency_down") == []
        assert h.service.releases.champion.model.breaker.state == "closed"

    run(body())


def test_a_slow_canary_is_taken_back(harness):
    async def body():
        clocks = []

        def slow(call):
            async def late(*args):
                await clocks[0].advance(150 * SECOND // 1000)
                return call(*args)

            return lambda version, values: late(version, values) if version == "v2" else call(version, values)

        h = harness({"model": slow})
        clocks.append(h.clock)
        await start(h)
        found = await versions_of(h, 150)
        assert found[-60:] == ["v1"] * 60
        assert (await view(h))["releases"][0]["reason"] == "latency"

    run(body())


def test_a_hanging_canary_is_taken_back(harness):
    async def body():
        h = harness(
            {"model": fault("v2", lambda: asyncio.get_running_loop().create_future())},
            policy={"deadline_ns": 2_000_000},
        )
        await start(h)
        found = await versions_of(h, 120)
        assert found[-60:] == ["v1"] * 60
        assert (await view(h))["releases"][0]["reason"] == "failure"

    run(body())


def test_what_was_taken_back_is_frozen_for_half_an_hour_and_others_are_not(harness, versions):
    async def body():
        versions["v3"] = LinearBundle("v3")
        h = harness({"model": fault("v2", lambda: math.nan)})
        await start(h)
        await versions_of(h, 60)
        status, reply = await start(h)
        assert status == 409
        assert "frozen" in reply["detail"]
        assert (await start(h, "v3"))[0] == 202
        await h.clock.advance(30 * MINUTE)
        assert (await start(h))[0] == 202

    run(body())


def test_a_bad_swap_goes_back_to_the_certified_version_and_not_to_the_previous_one(harness, versions):
    async def body():
        versions["v3"] = LinearBundle("v3")
        h = harness({"model": fault("v3", lambda: math.nan)})
        assert (await start(h, "v2", "swap"))[0] == 202  # not yet certified
        assert set(await versions_of(h, 20)) == {"v2"}
        assert (await start(h, "v3", "swap"))[0] == 202
        found = await versions_of(h, 20)
        assert found == ["v3"] * 3 + ["v1"] * 17
        state = await view(h)
        assert (state["certified"], state["serving"], state["automatic_rollbacks"]) == ("v1", "v1", 1)

    run(body())


def test_a_swap_that_was_watched_for_an_hour_is_certified(harness):
    async def body():
        h = harness()
        await start(h, "v2", "swap")
        await h.clock.advance(59 * MINUTE)
        h.tick()
        assert (await view(h))["certified"] == "v1"
        await h.clock.advance(MINUTE)
        h.tick()
        assert (await view(h))["certified"] == "v2"

    run(body())


def test_a_swap_drops_nothing_in_flight(harness):
    async def body():
        h = harness()
        gate = asyncio.get_running_loop().create_future()

        async def wait():
            await asyncio.shield(gate)

        held = [asyncio.create_task(h.infer(ROW, before=wait)) for _ in range(5)]
        await asyncio.sleep(0)
        await start(h, "v2", "swap")
        gate.set_result(None)
        assert {status for status, _ in await asyncio.gather(*held)} == {200}

    run(body())


def test_an_operators_rollback_pages_nobody_and_freezes_nothing(harness):
    async def body():
        h = harness()
        await start(h)
        assert (await h.call("POST", "/v1/releases/rollback"))[0] == 202
        assert set(await versions_of(h, 50)) == {"v1"}
        h.tick()
        await h.clock.advance(SECOND)
        assert h.alerts() == []
        assert (await h.call("POST", "/v1/releases/rollback"))[0] == 409
        assert (await start(h))[0] == 202

    run(body())


def test_with_rollback_off_the_judge_never_acts(harness):
    async def body():
        h = harness({"model": fault("v2", explode)}, safeguards={"rollback": False})
        await start(h)
        found = await versions_of(h, 200)
        assert "v2" in found[-30:]
        assert (await view(h))["releases"][0]["state"] == "on_trial"

    run(body())


def test_a_better_canary_with_other_scores_is_left_alone(harness):
    async def body():
        h = harness()
        await start(h)
        for k in range(400):
            await h.infer(plain(k))
        assert (await view(h))["releases"][0]["state"] == "on_trial"

    run(body())


@pytest.mark.parametrize(("reason", "status"), [("missing", 404), ("corrupt", 422), ("golden", 422), ("contract", 422)])
def test_a_bundle_that_must_not_be_served_is_refused_and_nothing_changes(harness, versions, reason, status):
    async def body():
        versions["v9"] = BundleError(reason, "detail that stays inside: /etc")
        h = harness()
        answer, reply = await start(h, "v9")
        assert answer == status
        assert "/etc" not in json.dumps(reply)
        assert set(await versions_of(h, 20)) == {"v1"}

    run(body())


def test_another_contract_is_refused_by_name(harness, versions):
    async def body():
        versions["v9"] = LinearBundle("v9", fields=(msgspec.structs.replace(FIELDS[0], unit="cents"), *FIELDS[1:]))
        status, reply = await start(harness(), "v9")
        assert status == 422
        assert reply["detail"].endswith("amount")

    run(body())


@pytest.mark.parametrize("version", ["../v1", "", "a/b", ".hidden"])
def test_a_version_is_a_name_and_no_path(harness, version):
    async def body():
        assert (await start(harness(), version))[0] == 404

    run(body())


def test_a_bad_policy_in_a_bundle_is_refused(harness, versions):
    async def body():
        versions["v9"] = LinearBundle("v9", policy={"review_from": 2.0})
        assert (await start(harness(), "v9"))[0] == 422

    run(body())


def test_the_monitors_judge_by_the_profile_of_what_serves(harness):
    async def body():
        h = harness()
        await start(h, "v2", "swap")
        h.tick()
        assert h.service.watch.bundle.version == "v2"

    run(body())


def test_wrong_decisions_of_a_canary_are_found_by_their_labels(harness):
    async def body():
        h = harness(policy={"review_from": 0.5, "block_from": 0.5})
        await start(h)
        for k in range(80):
            _, reply = await h.infer({**ROW, "customer": k}, request_id=f"r-{k}")
            blocked = reply["outputs"][1]["data"] == ["block"]
            wrong = reply["model_version"] == "v2"
            label = {"id": f"r-{k}", "row": 0, "label": int(blocked != wrong)}
            await h.call("POST", "/v1/labels", json.dumps({"labels": [label]}).encode())
        assert (await view(h))["releases"][0]["reason"] == "mistake"

    run(body())


def test_labels_that_come_after_a_promotion_are_weighed_by_the_shares_that_they_were_decided_under(harness):
    """Both arms are wrong about one in ten; the labels that come first after it are mostly the champion's."""

    async def body():
        h = harness()
        await start(h, share=0.1)
        releases, begun = h.service.releases, h.clock.now_ns()

        def labels(share, n, decided_ns):
            for k in range(n):
                version = "v2" if k % 100 < 100 * share else "v1"
                releases.label(version, decided_ns, h.clock.now_ns(), wrong=k // 100 % 10 == k % 10)

        labels(0.0, 5000, begun - 1)  # of decisions before the trial, which had no second arm
        labels(0.1, 5000, begun)
        releases.promote(begun + MINUTE)
        labels(0.1, 5000, begun)
        labels(0.95, 5000, begun + MINUTE)
        assert releases.trial is not None
        assert releases.trial.judge.evidence_log10 < 0

    run(body())


def test_a_canary_that_refuses_everybody_is_taken_back_without_any_label(harness):
    async def body():
        h = harness({"model": fault("v2", lambda: 5.0)})
        await start(h)
        found = await versions_of(h, 120)
        assert found[-60:] == ["v1"] * 60
        assert (await view(h))["releases"][0]["reason"] == "block"

    run(body())


def test_a_swap_is_no_outage_of_the_model(harness):
    async def body():
        h = harness()
        await h.traffic(30, plain)
        await start(h, "v2", "swap")
        await h.traffic(30, plain)
        assert h.alerts() == []

    run(body())


# ---------------------------------------------------------------- promotion, hold-back


SOON = {"promote_after_ns": 5 * MINUTE, "promote_answers": 50}


async def promoted(harness, seams=None, **policy):
    """A service whose canary v2 has just been promoted by its judge."""
    h = harness(seams, policy={**SOON, **policy})
    await start(h)
    await versions_of(h, 150)
    await h.clock.advance(5 * MINUTE)
    h.tick()
    assert (await view(h))["releases"][0]["state"] == "held_back"
    return h


def test_a_canary_is_promoted_after_enough_time_and_answers_and_not_before(harness):
    async def body():
        h = harness(policy=SOON)
        await start(h)
        await versions_of(h, 40)
        await h.clock.advance(5 * MINUTE)
        h.tick()
        assert (await view(h))["serving"] == "v1"  # too few answers
        await versions_of(h, 150)
        h.tick()
        state = await view(h)
        assert (state["serving"], state["certified"]) == ("v2", "v1")
        assert [line["what"] for line in state["trail"]] == ["release", "promote"]

    run(body())


def test_a_suspect_canary_is_not_promoted(harness):
    async def body():
        h = harness(policy=SOON)
        await start(h)
        await versions_of(h, 150)
        for _ in range(10):
            h.service.releases.observe(h.service.releases.trial.loaded, h.clock.now_ns(), Answer(failed=True))
        assert h.service.releases.trial.judge.evidence_log10 > 1
        await h.clock.advance(5 * MINUTE)
        h.tick()
        assert (await view(h))["serving"] == "v1"

    run(body())


def test_a_canary_that_an_operator_has_frozen_is_not_promoted_by_anybody_until_it_is_lifted(harness):
    async def body():
        h = harness(policy={"promote_after_ns": MINUTE, "promote_answers": 20})
        await h.call("POST", "/v1/releases", b'{"version":"v2","by":"canary","share":0.5}')
        await h.call("POST", "/v1/releases/freeze", b'{"version":"v2","seconds":600}')
        await h.traffic(120, plain)
        assert (await h.call("GET", "/v1/version"))[1].startswith(b'{"serving":"v1"')
        status, reply = await h.call("POST", "/v1/releases/promote")
        assert (status, json.loads(reply)["detail"]) == (409, "v2 is frozen")
        await h.call("POST", "/v1/releases/freeze", b'{"version":"v2","seconds":0}')
        h.tick()
        assert (await h.call("GET", "/v1/version"))[1].startswith(b'{"serving":"v2"')

    run(body())


def test_five_percent_are_held_back_for_an_hour_and_nobody_is_sent_back(harness):
    async def body():
        h = await promoted(harness)
        split = h.service.releases.split
        early = Split(f"{h.service.releases.champion.bundle.digest}/1", 0.5)
        assert all(split.takes(e) for e in range(2000) if early.takes(e))
        found = await versions_of(h, 400)
        assert 0.01 < found.count("v1") / 400 < 0.1
        await h.clock.advance(60 * MINUTE)
        h.tick()
        assert (await view(h))["certified"] == "v2"
        assert set(await versions_of(h, 100)) == {"v2"}

    run(body())


def test_what_is_found_during_the_hold_back_is_taken_back(harness):
    async def body():
        broken = []

        def wrap(call):
            return lambda version, values: math.nan if broken and version == "v2" else call(version, values)

        h = await promoted(harness, {"model": wrap})
        broken.append(1)
        found = await versions_of(h, 100)
        assert found[-50:] == ["v1"] * 50
        state = await view(h)
        assert (state["serving"], state["certified"]) == ("v1", "v1")

    run(body())


def test_an_ab_test_is_split_and_judged_and_never_promoted(harness):
    async def body():
        h = harness(policy=SOON)
        await start(h, by="ab")
        found = await versions_of(h, 200)
        assert 0.4 < found.count("v2") / 200 < 0.6
        await h.clock.advance(60 * MINUTE)
        h.tick()
        assert (await view(h))["serving"] == "v1"
        h = harness({"model": fault("v2", explode)})
        await start(h, by="ab")
        assert (await versions_of(h, 120))[-60:] == ["v1"] * 60

    run(body())


# ---------------------------------------------------------------- hard triggers, both arms


def test_a_wrong_golden_row_takes_a_version_back_at_the_next_tick(harness):
    async def body():
        h = harness({"model": fault("v2", lambda: 0.123)})
        await start(h)
        h.tick()
        assert (await view(h))["releases"][0]["reason"] == "golden"

    run(body())


def test_an_unfit_version_is_not_promoted_although_nothing_takes_it_back(harness):
    async def body():
        h = harness({"model": fault("v2", lambda: 0.123)}, policy=SOON, safeguards={"rollback": False})
        await start(h)
        await versions_of(h, 150)
        await h.clock.advance(5 * MINUTE)
        h.tick()
        assert (await view(h))["releases"][0]["state"] == "on_trial"

    run(body())


def test_no_answer_to_a_golden_row_is_no_wrong_answer(harness):
    async def body():
        for answer in (explode, lambda: asyncio.get_running_loop().create_future(), lambda: asyncio.sleep(1)):
            h = harness({"model": fault("v2", answer)})
            await start(h)
            h.tick()
            assert (await view(h))["releases"][0]["state"] == "on_trial"

    run(body())


def test_readiness_lost_takes_a_version_back(harness):
    async def body():
        h = harness()
        await start(h)
        breaker = h.service.releases.trial.loaded.model.breaker
        for _ in range(20):
            breaker.record(h.clock.now_ns(), ok=False)
        assert breaker.state == "open"
        h.tick()
        assert (await view(h))["releases"][0]["reason"] == "readiness"
        assert h.service.releases.champion.model.breaker.state == "closed"

    run(body())


def test_with_both_arms_bad_the_fallback_answers_somebody_is_paged_and_it_ends(harness):
    async def body():
        broken = [1]

        def wrap(call):
            return lambda *args: math.nan if broken else call(*args)

        h = harness({"model": wrap})
        await start(h)
        await versions_of(h, 30)
        state = await view(h)
        assert (state["distrusted"], state["releases"][0]["reason"], state["frozen_until_ns"]) == (
            True,
            "both_arms",
            {},
        )
        assert (await h.one(ROW))[:2] == ("fallback", "distrusted")
        h.tick()
        await h.clock.advance(SECOND)
        assert len(h.alerts(name="both_arms_bad")) == 1
        assert h.alerts(name="canary_rollback") == []
        broken.clear()
        assert (await h.one(ROW))[0] == "fallback"
        for _ in range(3):
            h.tick()
        assert (await h.one(ROW))[0] == "model"

    run(body())


def test_a_bad_canary_beside_an_uncertified_champion_leads_to_the_certified_version(harness, versions):
    async def body():
        versions["v3"] = LinearBundle("v3")
        h = harness({"model": fault("v3", lambda: math.nan)})
        await start(h, "v2", "swap")
        await start(h, "v3", "canary")
        await versions_of(h, 40)
        assert set(await versions_of(h, 20)) == {"v1"}

    run(body())


# ---------------------------------------------------------------- shadow


def test_a_shadow_is_asked_about_everything_and_answers_nobody(harness):
    async def body():
        h = harness()
        assert (await start(h, by="shadow"))[0] == 202
        assert set(await versions_of(h, 50)) == {"v1"}
        await h.infer(ROW, {**ROW, "amount": 3.0})
        await h.clock.advance(SECOND)
        shadow = (await view(h))["releases"][0]["shadow"]
        assert (shadow["seen"], shadow["failed"], shadow["dropped"]) == (52, 0, 0)
        assert shadow["mean_gap"] > 0

    run(body())


@pytest.mark.parametrize(
    "answer",
    [explode, lambda: math.nan, lambda: asyncio.get_running_loop().create_future()],
    ids=["raises", "nan", "hangs"],
)
def test_a_broken_shadow_touches_no_reply(harness, answer):
    async def replies(seams, by):
        h = harness(seams)
        if by:
            await start(h, by=by)
        return h, [await h.infer({**ROW, "customer": k}, request_id=f"r{k}") for k in range(40)]

    async def body():
        _, alone = await replies(None, None)
        h, beside = await replies({"model": fault("v2", answer)}, "shadow")
        assert beside == alone
        await h.clock.advance(10 * SECOND)
        assert h.service.releases.champion.model.breaker.state == "closed"
        assert h.alerts(name="canary_rollback") == []
        assert (await view(h))["releases"][0]["shadow"]["seen"] == 0

    run(body())


def test_what_a_shadow_has_no_room_for_is_counted(harness):
    async def body():
        h = harness({"model": fault("v2", lambda: asyncio.get_running_loop().create_future())})
        await start(h, by="shadow")
        shadow = h.service.releases.trial.shadow
        for _ in range(3000):
            shadow.offer([1.0] * 5, 0.5)
        assert shadow.dropped > 1000

    run(body())


# ---------------------------------------------------------------- operators


async def act(h, what, **body):
    status, reply = await h.call("POST", f"/v1/releases/{what}", json.dumps(body).encode())
    return status, json.loads(reply)


def test_operators_promote_freeze_override_and_go_back_and_the_trail_tells(harness):
    async def body():
        h = harness()
        assert (await act(h, "promote"))[0] == 409
        assert (await act(h, "freeze", version="v2", seconds=60))[0] == 202
        assert (await start(h))[0] == 409
        body = json.dumps({"version": "v2", "by": "canary", "share": 0.5, "override": True}).encode()
        assert (await h.call("POST", "/v1/releases", body))[0] == 202
        assert (await act(h, "promote"))[0] == 202
        assert (await act(h, "freeze", version="v2", seconds=0))[0] == 202
        assert (await act(h, "rollback", to="v1"))[0] == 202
        state = await view(h)
        assert (state["serving"], state["certified"], state["frozen_until_ns"]) == ("v1", "v1", {})
        assert [line["what"] for line in state["trail"]] == ["freeze", "override", "promote", "unfreeze", "rollback"]
        assert {line["who"] for line in state["trail"]} == {"operator"}
        assert set(await versions_of(h, 30)) == {"v1"}

    run(body())


@pytest.mark.parametrize("path", ["", "/rollback", "/promote", "/freeze"])
def test_nobody_acts_on_releases_without_the_token(harness, path):
    async def body():
        h = harness()
        status, _ = await h.call("POST", f"/v1/releases{path}", b'{"version": "v2"}', token="")
        assert status == 401
        assert (await view(h))["trail"] == []

    run(body())


def test_other_scores_are_told_and_no_reason_to_go_back(harness, versions):
    async def body():
        versions["v2"] = LinearBundle("v2", bias=1.0)
        h = harness(policy={"drift_rows": 100})
        await start(h)
        for k in range(400):
            await h.infer(plain(k))
        h.tick()
        await h.clock.advance(SECOND)
        (told,) = h.alerts(name="canary_scores")
        assert told["labels"]["severity"] == "ticket"
        assert (await view(h))["releases"][0]["state"] == "on_trial"

    run(body())

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
from reference_service.release.judge import CanaryJudge, Ownership, SwapJudge
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
    assert abs(taken - share) < 4.5 * math.sqrt(share * (1 - share) / 4000) + 1e-9


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
        if judge.request(
            new=new, failed=draw.random() < (canary if new else champion), slow=False, breach=False, blocked=False
        ):
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


def test_three_contract_breaches_need_no_statistics():
    judge = CanaryJudge(POLICY, 0.5)
    verdicts = [judge.request(new=True, failed=True, slow=False, breach=True, blocked=False) for _ in range(3)]
    assert verdicts == ["", "", "breach"]
    champion = CanaryJudge(POLICY, 0.5)
    assert not any(champion.request(new=False, failed=True, slow=False, breach=True, blocked=False) for _ in range(50))


def test_the_judge_sees_latency_and_mistakes_as_well():
    judge = CanaryJudge(POLICY, 0.5)
    reasons = [
        judge.request(new=k % 2 == 0, failed=False, slow=k % 2 == 0, breach=False, blocked=False) for k in range(60)
    ]
    assert "latency" in reasons
    judge = CanaryJudge(POLICY, 0.5)
    reasons = [judge.label(new=k % 2 == 0, wrong=k % 2 == 0) for k in range(60)]
    assert "mistake" in reasons


def test_events_in_proportion_to_exposure_are_no_evidence():
    metric = Ownership(0.1, 1.25)
    for k in range(5000):
        metric.observe(canary=k % 10 == 0, bad=k % 7 == 0)
    assert metric.log_evidence < 0


def test_a_swap_is_judged_by_a_fixed_rate():
    judge = SwapJudge(POLICY)
    assert not any(
        judge.request(new=True, failed=k % 200 == 0, slow=False, breach=False, blocked=False) for k in range(5000)
    )
    assert any(judge.request(new=True, failed=True, slow=False, breach=False, blocked=False) for _ in range(10))


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
        assert (await view(h))["certified"] == "v1"

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

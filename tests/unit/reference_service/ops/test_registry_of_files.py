"""A registry of files under one process that restarts, and under two that share it."""

from __future__ import annotations

import json
import math
import threading

import pytest
from conftest import MINUTE, ROW, SECOND, LinearBundle, run, settle

from reference_service.release import gain as gains
from reference_service.release.judge import Answer
from reference_service.release.scores import ScoreShift
from reference_service.release.store import ALIASES, Store


async def post(h, path="", **body):
    status, reply = await h.call("POST", f"/v1/releases{path}", json.dumps(body).encode())
    return status, json.loads(reply)


async def view(h):
    return json.loads((await h.call("GET", "/v1/releases"))[1])


def nan_of(version):
    return lambda call: lambda asked, values: math.nan if asked == version else call(asked, values)


async def bad_canary(h):
    await post(h, version="v2", by="canary", share=0.5)
    for k in range(40):
        await h.infer({**ROW, "customer": k})


# ---------------------------------------------------------------- restart


def test_a_rollback_is_remembered_over_a_restart(shared):
    async def body():
        h = shared({"model": nan_of("v2")})
        await bad_canary(h)
        before = await view(h)
        again = shared()
        after = await view(again)
        assert after == before
        assert after["automatic_rollbacks"] == 1
        assert [line["what"] for line in after["trail"]] == ["release", "rollback"]
        assert (await post(again, version="v2"))[0] == 409  # still frozen
        await again.clock.advance(30 * MINUTE)
        assert (await post(again, version="v2"))[0] == 202

    run(body())


def test_what_was_promoted_serves_after_a_restart_whatever_the_settings_say(shared):
    async def body():
        h = shared()
        await post(h, version="v2", by="canary", share=0.5)
        await post(h, "/promote")
        again = shared(serving="v1")
        state = await view(again)
        assert (state["serving"], state["certified"], state["releases"][0]["state"]) == ("v2", "v1", "held_back")
        assert again.service.releases.split.share == h.service.releases.split.share == 0.95
        assert all(again.service.releases.route(e).version == h.service.releases.route(e).version for e in range(500))
        assert again.service.watch.bundle.version == "v2"

    run(body())


def test_evidence_goes_on_where_it_was(shared):
    async def body():
        h = shared()
        await post(h, version="v2", by="canary", share=0.5)
        releases = h.service.releases
        for _ in range(5):
            releases.observe(releases.trial.loaded, h.clock.now_ns(), Answer(failed=True))
        h.tick()
        again = shared()
        after, before = again.service.releases.trial.judge, releases.trial.judge
        assert (after.evidence_log10, after.met) == (before.evidence_log10, before.met)
        assert before.evidence_log10 > 0
        again.tick()
        third = shared().service.releases.trial.judge
        assert (third.evidence_log10, third.met) == (before.evidence_log10, before.met)  # once, in however many lives

    run(body())


@pytest.mark.parametrize("by", ["canary", "swap"])
def test_breaches_of_all_lives_and_all_workers_are_counted_together(shared, by):
    """A version whose process dies after each second NaN would never be taken back."""

    async def body():
        breach = Answer(failed=True, breach=True)
        h = shared()
        await post(h, version="v2", by=by, **({"share": 0.5} if by == "canary" else {}))
        h.service.releases.observe(h.service.releases.trial.loaded, h.clock.now_ns(), breach)
        h.tick()
        beside, again = shared(), shared()
        beside.service.releases.observe(beside.service.releases.trial.loaded, beside.clock.now_ns(), breach)
        assert beside.service.releases.trial is not None
        for each in (beside, again, again):  # heard twice, and counted once
            each.tick()
        releases = again.service.releases
        releases.observe(releases.trial.previous, again.clock.now_ns(), breach)  # of the other arm
        assert releases.trial is not None
        releases.observe(releases.trial.loaded, again.clock.now_ns(), breach)
        assert (await view(again))["releases"][0]["reason"] == "breach"

    run(body())


@pytest.mark.parametrize("by", ["canary", "swap"])
def test_breaches_one_in_each_worker_are_acted_on_though_no_request_comes_any_more(shared, by):
    """It was promoted, or certified, by three workers of which each had seen one breach."""

    async def body():
        workers = [shared() for _ in range(3)]
        await post(workers[0], version="v2", by=by, **({"share": 0.5} if by == "canary" else {}))
        await second(*workers)
        for h in workers:
            h.service.releases.observe(
                h.service.releases.trial.loaded, h.clock.now_ns(), Answer(failed=True, breach=True)
            )
        for h in (*workers, *workers):  # written at one tick, heard at the next
            h.tick()
        await second(*workers)
        for h in workers:
            state = await view(h)
            assert (state["serving"], state["certified"]) == ("v1", "v1")
            assert state["releases"][0]["reason"] == "breach"

    run(body())


def test_what_a_shadow_has_scored_is_the_same_from_every_worker_and_after_a_restart(shared):
    async def body():
        a, b = shared(), shared()
        await post(a, version="v2", by="shadow")
        await second(a, b)
        for k in range(30):
            await (a, b)[k % 3 == 0].infer({**ROW, "customer": k, "amount": 10.0 + k})
        for h in (a, b, a):
            await settle()
            h.tick()
        counts = [(await view(h))["releases"][0]["shadow"] for h in (a, b, shared())]
        assert counts[0] == counts[1] == counts[2]
        assert (counts[0]["seen"], counts[0]["failed"]) == (30, 0)
        alone = a.service.releases.trial.shadow.told(), b.service.releases.trial.shadow.told()
        assert [each.seen for each in alone] == [20, 10]
        assert counts[0]["mean_gap"] == round(sum(each.gap for each in alone) / 30, 6) > 0

    run(body())


def test_how_far_scores_lie_apart_is_known_after_a_restart(shared):
    async def body():
        h = shared()
        await post(h, version="v2", by="ab", share=0.5)
        for k in range(120):
            await h.infer({**ROW, "customer": k, "amount": 10.0 + k % 90})
        h.tick()
        again = shared()
        far = h.service.releases.shifted(40)["v2"]
        assert again.service.releases.shifted(40)["v2"] == far > 0
        again.tick()
        assert shared().service.releases.shifted(40)["v2"] == far

    run(body())


def test_scores_in_cells_of_another_number_are_left_out():
    here, there = (ScoreShift([0.1 * k for k in range(1, 10)]) for _ in range(2))
    for k in range(50):
        here.add(k / 50, new=k % 2 == 0)
        there.add(k / 50, new=k % 2 == 1)
    alone = here.psi(20)
    here.hear([([1], [2]), ([], []), there.told()])
    assert here.psi(45) != alone
    here.hear([([1], [2]), ([], [])])
    assert (here.psi(20), here.psi(45)) == (alone, 0)


def test_a_damaged_state_is_no_reason_not_to_serve(shared):
    async def body():
        h = shared({"model": nan_of("v2")})
        await bad_canary(h)
        shared.store.write_state(b'{"generation": 99, "champion": "nobody"}')
        again = shared()
        assert (await again.one(ROW))[0] == "model"

    run(body())


# ---------------------------------------------------------------- what labels say of a split


async def labelled(h, numbers, *, matured=True):
    """So many decisions of a split, and the label of each; returns their loss by version."""
    losses = {"v1": [], "v2": []}
    for k in numbers:
        _, reply = await h.infer({**ROW, "customer": k, "amount": 10.0 + k % 90}, request_id=f"r-{k}")
        score, label = reply["outputs"][0]["data"][0], int(k % 3 == 0)
        losses[reply["model_version"]].append((score - label) ** 2)
        sent = json.dumps({"labels": [{"id": f"r-{k}", "label": label}]}).encode()
        assert json.loads((await h.call("POST", "/v1/labels", sent))[1])["accepted"] == 1
    if matured:
        await h.clock.advance(2 * MINUTE)
        h.tick()
    return losses


async def quality(h):
    return (await view(h))["releases"][-1]["quality"]


@pytest.fixture
def split(shared, monkeypatch):
    """Services on one registry, where few labels are enough and come within a minute."""
    monkeypatch.setattr(gains, "LABELS", 20)
    monkeypatch.setattr(gains, "CROWDS", 10)
    return lambda: shared(policy={"label_horizon_ns": MINUTE}, safeguards={"rollback": False})


def joined(*parts):
    return {version: [loss for part in parts for loss in part[version]] for version in parts[0]}


def truth(losses):
    before, new = (sum(each) / len(each) for each in losses.values())
    return {"before": len(losses["v1"]), "new": len(losses["v2"])}, pytest.approx(before - new, abs=1e-5)


def test_what_labels_said_of_a_split_outlives_a_process_and_counts_once(split):
    """Killed with nothing said: what had matured goes on, and what had not is left out as a whole."""

    async def body():
        old = split()
        await post(old, version="v2", by="ab", share=0.5)
        first = await labelled(old, range(100))
        before = await quality(old)
        assert (before["labels"], before["gain"]) == truth(first)
        await labelled(old, range(100, 130), matured=False)  # early ones, of decisions that have not matured
        old.tick()
        new = split()
        await new.clock.advance(old.clock.now_ns() - new.clock.now_ns())
        new.tick()
        assert await quality(new) == before
        again = json.dumps({"labels": [{"id": f"r-{k}", "label": 1} for k in range(130)]}).encode()
        assert json.loads((await new.call("POST", "/v1/labels", again))[1])["accepted"] == 0
        second = await labelled(new, range(200, 300))
        after = await quality(new)
        assert (after["labels"], after["gain"]) == truth(joined(first, second))
        assert after["to"] - after["from"] < before["to"] - before["from"]
        third = await quality(split())
        assert (third["labels"], third["gain"], third["processes"]) == (after["labels"], after["gain"], 2)

    run(body())


def test_workers_say_the_same_of_a_split_by_the_labels_of_all(split):
    async def body():
        a, b = split(), split()
        await post(a, version="v2", by="ab", share=0.5)
        await second(a, b)
        losses = joined(await labelled(a, range(80)), await labelled(b, range(200, 280)))
        said = [await quality(h) for h in (a, b)]
        assert said[0] == said[1]
        assert (said[0]["labels"], said[0]["gain"]) == truth(losses)
        assert said[0]["processes"] == 2
        # One that refuses, of whom no label is known, is felt by both.
        b.service.releases.trial.gain.refused(new=True)
        b.tick()
        assert {(await quality(h))["why"] for h in (a, b)} == {"an arm refuses, and no refusal has a matured label"}

    run(body())


def test_another_split_begins_with_nothing_and_clears_away_the_one_before(split, tmp_path):
    async def body():
        h = split()
        await post(h, version="v2", by="ab", share=0.5)
        await labelled(h, range(60))
        await post(h, "/rollback")
        await h.clock.advance(SECOND)
        await post(h, version="v2", by="ab", share=0.5)
        assert (await quality(h))["labels"] == {"before": 0, "new": 0}
        assert (await quality(split()))["processes"] == 0
        await labelled(h, range(100, 160))
        assert sum((await quality(h))["labels"].values()) == 60
        (kept,) = (tmp_path / "registry" / "trials").iterdir()
        assert kept.name.endswith("-2")

    run(body())


OTHER = b'{"refused":[false,false],"sums":[],"seen":{"logs":{"smell":[1]},"canary_answers":1}}'
SHORT = b'{"refused":[false,false],"sums":[[[1]]],"seen":{"logs":{},"canary_answers":1}}'


@pytest.mark.parametrize("damage", [b"{", OTHER, SHORT])
def test_a_damaged_word_on_a_split_is_left_out_and_told_once(split, tmp_path, damage, caplog):
    async def body():
        h = split()
        await post(h, version="v2", by="ab", share=0.5)
        await labelled(h, range(60))
        (kept,) = (tmp_path / "registry" / "trials").glob("*/*.json")
        kept.write_bytes(damage)
        new = split()
        for _ in range(2):
            assert (await quality(new))["labels"] == {"before": 0, "new": 0}
        (kept.parent / "notes.txt").write_text("what is this")
        await new.clock.advance(h.clock.now_ns() - new.clock.now_ns())
        await labelled(new, range(100, 160))
        assert sum((await quality(new))["labels"].values()) == 60

    run(body())
    assert len([line for line in caplog.messages if "is left out" in line]) == 1


# ---------------------------------------------------------------- two processes


async def second(*harnesses):
    """One second passes for everybody."""
    for h in harnesses:
        await h.clock.advance(SECOND)


def test_two_workers_agree_within_a_second(shared):
    async def body():
        a, b = shared(), shared()
        await post(a, version="v2", by="canary", share=0.5)
        await second(a, b)
        routed = [[h.service.releases.route(e).version for e in range(300)] for h in (a, b)]
        assert routed[0] == routed[1]
        assert set(routed[0]) == {"v1", "v2"}
        await post(b, "/rollback")
        await second(a, b)
        assert {h.service.releases.route(e).version for e in range(300) for h in (a, b)} == {"v1"}
        assert await view(a) == await view(b)

    run(body())


def test_what_one_worker_takes_back_is_taken_back_everywhere(shared):
    async def body():
        a, b = shared({"model": nan_of("v2")}), shared()
        await bad_canary(a)
        await second(a, b)
        assert b.service.releases.trial is None
        assert (await post(b, version="v2"))[0] == 409

    run(body())


def test_what_one_worker_suspects_no_other_promotes(shared):
    async def body():
        policy = {"promote_after_ns": MINUTE, "promote_answers": 40}
        a, b = shared(policy=policy), shared(policy=policy)
        await post(a, version="v2", by="canary", share=0.5)
        await second(a, b)
        for k in range(150):
            await b.infer({**ROW, "customer": k})
        trial = a.service.releases.trial
        for _ in range(14):
            a.service.releases.observe(trial.loaded, a.clock.now_ns(), Answer(failed=True))
        assert trial.judge.evidence_log10 > 1
        a.tick()
        b.service.follower.save()
        await a.clock.advance(2 * MINUTE)
        await b.clock.advance(2 * MINUTE)
        b.tick()
        assert b.service.releases.trial.judge.evidence_log10 > 1
        assert (await view(b))["serving"] == "v1"
        assert a.service.releases.trial.judge.met == 14  # b's answers are heard at a's next tick
        a.tick()
        assert a.service.releases.trial.judge.met == b.service.releases.trial.judge.met > 60

    run(body())


def test_an_operator_is_answered_by_the_state_that_is(shared):
    async def body():
        a, b = shared(), shared()
        await post(a, version="v2", by="canary", share=0.5)
        assert (await post(b, "/promote"))[0] == 202  # although b has not looked yet
        await second(a, b)
        assert (await view(a))["serving"] == "v2"

    run(body())


def test_whoever_comes_an_instant_later_is_told(shared, versions, monkeypatch):
    async def body():
        versions["v3"] = LinearBundle("v3")
        a, b = shared(), shared()
        monkeypatch.setattr(type(b.service), "take_up", lambda _: None)  # nothing to see, an instant ago
        await post(a, version="v2", by="canary", share=0.5)
        assert (await post(b, version="v3", by="swap"))[0] == 409
        assert (await view(b))["releases"][0]["version"] == "v2"

    run(body())


def test_workers_share_alpha(shared):
    async def body():
        h = shared(workers=4)
        assert h.service.releases.policy.canary_alpha == h.service.policy.canary_alpha / 4

    run(body())


def test_aliases_say_who_is_who(shared, versions):
    async def body():
        versions["v3"] = LinearBundle("v3")
        store = shared.store
        h = shared()
        assert [store.alias(name) for name in ALIASES] == ["v1", "v1", None, None]
        await post(h, version="v2", by="canary", share=0.5)
        assert [store.alias(name) for name in ALIASES] == ["v1", "v1", "v2", None]
        await post(h, "/promote")
        assert [store.alias(name) for name in ALIASES] == ["v2", "v1", "v2", None]
        await post(h, version="v3", by="shadow")
        assert [store.alias(name) for name in ALIASES] == ["v2", "v1", None, "v3"]

    run(body())


def test_a_reader_never_sees_half_a_pointer(tmp_path):
    store, names, seen = Store(tmp_path), ("v1", "a-version-with-a-long-name"), set()
    store.point("champion", names[0])
    stop = threading.Event()

    def read():
        while not stop.is_set():
            seen.add(store.alias("champion"))

    reader = threading.Thread(target=read)
    reader.start()
    for k in range(300):
        store.point("champion", names[k % 2])
    stop.set()
    reader.join()
    assert seen <= set(names)


def test_a_follower_loads_before_it_takes_up(shared):
    async def body():
        a, b = shared(), shared()
        follower, known = b.service.follower, []
        take_up = follower.take_up
        follower.take_up = lambda: known.append(b.service.registry.knows("v2")) or take_up()
        await post(a, version="v2", by="canary", share=0.5)
        await b.clock.advance(SECOND)
        assert known
        assert all(known)

    run(body())


def test_following_goes_on_when_nothing_changes(shared):
    async def body():
        h = shared()
        await h.clock.advance(10 * SECOND)
        await settle()
        assert not h.following.done()

    run(body())

"""A model that hangs, crashes or raises does so in a process of its own; nobody waits for it beyond the deadline."""

import asyncio
import hashlib
import logging
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import ROW, SECOND, HandClock, Harness, settle
from foreign_models import EXITS, RAISES, SECRET, SHORT, SLEEPS, SPINS, STOPS

from reference_service import composition
from reference_service.bundle import BundleError
from reference_service.clock import LoopClock
from reference_service.features import FeatureStore
from reference_service.foreign import child, frames, process
from reference_service.foreign.model import Foreign
from reference_service.foreign.process import Process
from reference_service.settings import SettingsError, read

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _on_the_path(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), *sys.path]))


def artifact(tmp_path, factory="linear", content=b"2.0"):
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    return {
        "factory": f"foreign_models:{factory}",
        "artifact": str(path),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


@pytest.fixture
def started(tmp_path):
    """Starts processes, and ends them."""
    running = []

    def start(factory="linear", content=b"2.0", **other):
        wanted = {**artifact(tmp_path, factory, content), **other}
        running.append(Process(*wanted.values(), start_ns=60 * SECOND))
        return running[-1]

    yield start
    for each in running:
        each.kill()


def test_margins_come_back_as_they_were_computed(started):
    model = started()
    rows = np.random.default_rng(1).normal(size=(1000, 7))
    expected = (rows.sum(axis=1) * 2.0).tolist()
    assert model.ask_now(rows) == expected

    async def body():
        assert await model.ask(rows) == expected
        assert await model.ask(rows[:1]) == expected[:1]
        assert await model.ask(np.full((1, 7), np.nan)) == [0.0]
        assert await model.ask(np.asfortranarray(rows)) == expected

    asyncio.run(body())


def test_one_that_raises_lives_on(started):
    model = started()

    async def body():
        for bad in (RAISES, SHORT):
            with pytest.raises(ValueError, match="raised"):
                await model.ask(np.array([[1.0], [bad]]))
            assert await model.ask(np.ones((2, 1))) == [2.0, 2.0]

    asyncio.run(body())


@pytest.mark.parametrize("bad", [EXITS, STOPS])
def test_one_that_ends_has_ended(started, bad):
    model = started()
    with pytest.raises(ConnectionError):
        asyncio.run(model.ask(np.array([[bad]])))


def test_it_sees_nothing_of_the_services_secrets(started, monkeypatch):
    monkeypatch.setenv("SEATRIAL_SECRET", "x")
    assert started().ask_now(np.array([[SECRET]])) == [0.0]
    kept = {"PATH": "a", "PYTHONPATH": "b", "OMP_NUM_THREADS": "1"}
    assert process.passed({**kept, "TOKEN": "x", "AWS_SECRET_ACCESS_KEY": "x", "MY_PATH": "x"}) == kept


@pytest.mark.parametrize("bad", [SLEEPS, SPINS])
def test_killed_it_is_gone_whatever_it_does(started, bad):
    model = started()

    async def body():
        asking = asyncio.ensure_future(model.ask(np.array([[bad]])))
        await asyncio.sleep(0.05)
        assert not asking.done()
        asking.cancel()
        await asyncio.wait([asking])
        model.kill()

    asyncio.run(body())
    assert model._process.wait(10) == -signal.SIGKILL


def test_a_life_does_not_begin_with_another_artifact_or_one_that_does_not_load(started, tmp_path):
    with pytest.raises(ConnectionError, match="digest"):
        started(sha256="0" * 64)
    with pytest.raises(ConnectionError, match="ended"):
        started("nothing")
    with pytest.raises(TimeoutError):
        Process(*artifact(tmp_path, "slow_to_load").values(), start_ns=SECOND // 2)


def test_no_object_is_ever_unpickled():
    for module in (child, frames, process):
        assert "pickle" not in {*vars(module)}
    assert (
        frames.question(np.array([[1.0, 2.0]])) == bytes.fromhex("01000000 02000000") + np.array([1.0, 2.0]).tobytes()
    )


# ---------------------------------------------------------------- life after life, on a clock set by hand


class Life:
    """One that answers, hangs or ends, as it is told."""

    def __init__(self, does="answer"):
        self.does, self.killed = does, False

    async def ask(self, values):
        if self.does == "hang":
            await asyncio.Event().wait()
        if self.does == "end":
            raise ConnectionResetError
        if self.does == "raise":
            raise ValueError("the model raised")
        return [1.0] * len(values)

    def kill(self):
        self.killed = True


def foreign(clock, lives):
    async def again():
        life = lives.pop(0)
        if isinstance(life, Exception):
            raise life
        return life

    first = lives.pop(0)
    return Foreign("v1", first, again, clock, ask_ns=SECOND, pause_ns=SECOND // 10, pause_most_ns=SECOND)


def test_one_that_hangs_is_killed_and_comes_back():
    async def body():
        clock, hung, next_one = HandClock(), Life("hang"), Life()
        model = foreign(clock, [hung, next_one])
        asking = asyncio.ensure_future(model.ask(np.ones((3, 2))))
        await clock.advance(SECOND - 1)
        assert not asking.done()
        assert not hung.killed
        await clock.advance(1)
        with pytest.raises(TimeoutError):
            await asking
        assert hung.killed
        with pytest.raises(ConnectionError):  # at once: nobody waits for a start
            await model.ask(np.ones((1, 2)))
        await clock.advance(SECOND // 10 - 1)
        with pytest.raises(ConnectionError):
            await model.ask(np.ones((1, 2)))
        await clock.advance(1)
        assert await model.ask(np.ones((3, 2))) == [1.0] * 3
        assert model.lost == 1

    asyncio.run(body())


def test_one_that_raises_is_not_killed():
    async def body():
        clock, life = HandClock(), Life("raise")
        model = foreign(clock, [life])
        with pytest.raises(ValueError, match="raised"):
            await model.ask(np.ones((1, 2)))
        assert not life.killed
        assert model.lost == 0

    asyncio.run(body())


def test_pauses_double_up_to_a_bound_and_a_long_life_begins_anew(caplog):
    async def body():
        clock = HandClock()
        model = foreign(clock, [Life("end"), OSError("no"), OSError("no"), OSError("no"), OSError("no"), Life("end")])

        async def end():
            with pytest.raises(ConnectionError):
                await model.ask(np.ones((1, 2)))
            await settle()

        await end()
        pauses, before = [], clock.now_ns()
        while model._life is None:
            await clock.advance(SECOND // 100)
            for _ in range(len(caplog.records) - 1 - len(pauses)):
                pauses.append(clock.now_ns() - before)
                before = clock.now_ns()
        assert [round(each / SECOND, 1) for each in pauses] == [0.1, 0.2, 0.4, 0.8]
        await clock.advance(60 * SECOND)
        await end()
        assert model._pause_ns == SECOND // 10
        model.close()
        await settle()

    with caplog.at_level(logging.ERROR, logger="reference_service"):
        asyncio.run(body())


def test_closed_it_does_not_come_back():
    async def body():
        clock, first, second = HandClock(), Life("end"), Life()
        model = foreign(clock, [first, second])
        with pytest.raises(ConnectionError):
            await model.ask(np.ones((1, 2)))
        model.close()
        await clock.advance(60 * SECOND)
        assert model._life is None

        other = foreign(clock, [second])
        other.close()
        assert second.killed

    asyncio.run(body())


# ---------------------------------------------------------------- in the service

PATIENT = {"deadline_ns": 30 * SECOND, "slow_ns": 30 * SECOND, "foreign_ns": 30 * SECOND}
QUICK = {
    "deadline_ns": SECOND // 5,
    "foreign_ns": SECOND // 2,
    "foreign_pause_ns": SECOND // 100,
    "breaker_open_ns": SECOND // 5,
    "slow_ns": SECOND,
}


@pytest.fixture
def service(versions, spent, monkeypatch, tmp_path):
    """A factory of services on the loop's own clock, whose v1 is a foreign model."""
    monkeypatch.setattr(composition.stores, "load", lambda _: FeatureStore(("spent",), spent))
    assert "v1" in versions

    def build(factory="linear", content=b"0.001", **settings):
        chosen = {"bundles": "b", "token": "secret", "feature_store": "f", "policy": PATIENT, **settings}
        chosen["foreign"] = {"v1": {**artifact(tmp_path, factory, content), **settings.get("foreign", {})}}
        clock = LoopClock()
        return Harness(composition.compose(read(chosen), clock, {}), clock, [])

    return build


def close(harness):
    for model in harness.service.foreign:
        model.close()


async def back(harness):
    """Ask until the model answers again, at most a minute long."""
    until = time.monotonic() + 60
    while (await harness.one(ROW))[0] != "model":
        assert time.monotonic() < until, "it does not come back"
        await asyncio.sleep(0.02)


def test_requests_at_once_are_answered_by_it_each_for_itself(service):
    async def body():
        harness = service()
        rows = [{**ROW, "amount": float(k)} for k in range(100)]
        answers = await asyncio.gather(*(harness.one(row) for row in rows))
        for row, (source, _, score, _) in zip(rows, answers, strict=True):
            margin = 0.001 * (row["amount"] + 12 + 7)  # and what the customer has spent
            assert source == "model"
            assert score == pytest.approx(1 / (1 + np.exp(-margin)), abs=2e-6)
        _, reply = await harness.infer(*rows)
        outputs = {output["name"]: output["data"] for output in reply["outputs"]}
        assert outputs["score"] == [score for _, _, score, _ in answers]
        close(harness)

    asyncio.run(body())


def test_a_poison_row_falls_back_and_its_neighbours_do_not(service):
    """Validation would refuse this poison before the model sees it, and is off."""

    async def body():
        harness = service(safeguards={"validation": False})
        rows = [{**ROW, "amount": RAISES if k % 10 == 3 else float(k)} for k in range(40)]
        answers = await asyncio.gather(*(harness.one(row) for row in rows))
        fallen = {k for k, (source, *_) in enumerate(answers) if source == "fallback"}
        assert fallen == {3, 13, 23, 33}
        assert {answers[k][1] for k in fallen} == {"model:error"}
        assert harness.service.releases.champion.model.breaker.state == "closed"
        assert harness.service.releases.champion.model.unusable == 4
        close(harness)

    asyncio.run(body())


@pytest.mark.parametrize("trouble", ["sleep", "spin", "exit"])
def test_one_that_blocks_is_answered_for_in_time_and_comes_back(service, tmp_path, trouble):
    """In the service's own process it would block every deadline with it; in its own, it blocks nothing."""

    async def body():
        switch = tmp_path / "switch"
        switch.write_text("")
        harness = service("switched", str(switch).encode(), policy=QUICK)
        dependency, (model,) = harness.service.releases.champion.model, harness.service.foreign
        await back(harness)

        switch.write_text(trouble)
        answers = await asyncio.gather(*(harness.one(ROW) for _ in range(30)))
        assert {source for source, *_ in answers} == {"fallback"}
        assert {reason for _, reason, *_ in answers} <= {"model:timeout", "model:error", "model:open"}
        if trouble != "exit":
            assert "model:timeout" in {reason for _, reason, *_ in answers}
        assert dependency.breaker.state == "open"
        assert not await harness.service.ready()
        assert (await harness.call("GET", "/v2/health/live"))[0] == 200

        switch.write_text("")
        await back(harness)
        assert model.lost >= 1
        while dependency.breaker.state != "closed":  # half open, it is asked a few times more
            await back(harness)
        close(harness)

    asyncio.run(body())


def test_replies_name_the_artifact_as_well(service):
    async def body():
        one, other = service(content=b"0.001"), service(content=b"0.002")
        tags = {harness.service.releases.champion.tag for harness in (one, other)}
        assert len(tags) == 2
        assert one.service.releases.champion.bundle.digest[:12] not in tags
        close(one)
        close(other)

    asyncio.run(body())


@pytest.mark.parametrize(
    ("factory", "change", "reason"),
    [
        ("linear", {"sha256": "0" * 64}, "corrupt"),
        ("linear", {"artifact": "nowhere"}, "missing"),
        ("nothing", {}, "corrupt"),
        ("infinite", {}, "golden"),
    ],
)
def test_what_cannot_be_trusted_is_refused_before_it_serves(service, factory, change, reason):
    async def body():
        with pytest.raises(BundleError) as refused:
            service(factory, foreign=change)
        assert refused.value.reason == reason

    asyncio.run(body())


@pytest.mark.parametrize(
    ("change", "said"),
    [({"factory": "os.system"}, "module:name"), ({"factory": "a:b()"}, "module:name"), ({"sha256": "AB"}, "64 hex")],
)
def test_settings_that_name_no_model(change, said):
    model = {"factory": "a:b", "artifact": "c", "sha256": "0" * 64, **change}
    with pytest.raises(SettingsError, match=said):
        read({"foreign": {"v1": model}})


def test_our_own_forest_has_no_batcher_before_it(harness):
    async def body():
        made = harness()
        answer = made.service.releases.champion.model.call("v1", np.zeros(5))
        assert type(answer) is float
        assert made.service.foreign == []

    asyncio.run(body())

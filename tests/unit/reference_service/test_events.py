"""Requests as messages: each is answered once, whoever dies, and what cannot be answered is set aside."""

import asyncio
import contextlib
import json
import shutil
import subprocess
import sys
import time
from functools import partial

import httpx
import msgspec
import pytest
from redis.exceptions import RedisError
from test_shared import redis_port, with_redis  # noqa: F401 - fixtures

from benchmarks.fuzz import INFER, Sent, ask
from benchmarks.service import bodies
from benchmarks.shipped import bundles
from reference_service.api.core import Core
from reference_service.app import create_app
from reference_service.clock import SystemClock
from reference_service.events.consumer import Consumer, Streams
from reference_service.reply import refusal
from reference_service.shared.connect import connect
from simulator.drivers.start import free_port

QUICK = Streams(wait_ms=20, stale_ms=30, deliveries=3)
MESSAGES = bodies(40)


async def served(work):
    """Run `work` with the app of a real bundle."""
    here = bundles("payments")
    app = create_app({"bundles": str(here), "feature_store": str(here / "customers.npz")}, clock=SystemClock())
    await app.startup()
    try:
        return await work(app)
    finally:
        await app.shutdown()


async def until(what, seconds=10.0):
    for _ in range(round(seconds / 0.01)):
        if await what():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it did not come about")


async def consume(core, client, name, what):
    """Run one consumer until `what()` holds."""
    consumer, stopped = Consumer(core, client, name, QUICK), asyncio.Event()
    task = asyncio.create_task(consumer.run(stopped))
    try:
        await until(what)
    finally:
        stopped.set()
        await task
    return consumer


def test_each_message_gets_the_answer_that_rest_would_give(with_redis):  # noqa: F811 - the fixture
    async def work(client, watcher):
        async def go(app):
            ids = [await watcher.xadd(QUICK.requests, {"body": body}) for body in [*MESSAGES, b"no request"]]
            await consume(Core(app.edge.service), client, "one", lambda: length(watcher, QUICK.answers, len(ids)))
            rest = [await ask(app.edge, Sent("POST", INFER, b"", [], body)) for body in [*MESSAGES, b"no request"]]
            return ids, rest

        ids, rest = await served(go)
        answers = [fields for _, fields in await watcher.xrange(QUICK.answers)]
        assert [answer[b"request"] for answer in answers] == ids
        assert [(int(answer[b"status"]), answer[b"body"]) for answer in answers] == [(r.status, r.body) for r in rest]
        assert answers[-1][b"status"] == b"400"
        assert (await watcher.xpending(QUICK.requests, QUICK.group))["pending"] == 0

    with_redis(work, clients=2)


async def length(client, stream, least):
    return await client.xlen(stream) >= least


def test_what_a_dead_consumer_took_is_answered_by_another_and_once(with_redis):  # noqa: F811 - the fixture
    async def work(client, watcher):
        async def go(app):
            for body in MESSAGES:
                await watcher.xadd(QUICK.requests, {"body": body})
            await watcher.xgroup_create(QUICK.requests, QUICK.group, id="0")
            # Taken, and never heard of again.
            await watcher.xreadgroup(QUICK.group, "dead", {QUICK.requests: ">"}, count=15)
            core = Core(app.edge.service)
            await consume(core, client, "two", lambda: length(watcher, QUICK.answers, len(MESSAGES)))
            await asyncio.sleep(0.1)
            assert app.edge.service.log.seq == len(MESSAGES)

        await served(go)
        answers = [json.loads(fields[b"body"])["id"] for _, fields in await watcher.xrange(QUICK.answers)]
        assert sorted(answers) == sorted(json.loads(body)["id"] for body in MESSAGES)

    with_redis(work, clients=2)


def test_a_second_delivery_of_what_was_decided_decides_nothing(with_redis):  # noqa: F811 - the fixture
    async def work(client, watcher):
        async def go(app):
            message = await watcher.xadd(QUICK.requests, {"body": MESSAGES[0]})
            consumer = Consumer(Core(app.edge.service), client, "one", QUICK)
            first = await consumer._answer((message, {b"body": MESSAGES[0]}))  # and died before it was acknowledged
            await consume(consumer._core, client, "two", lambda: length(watcher, QUICK.answers, 1))
            assert app.edge.service.log.seq == 1
            ((_, fields),) = await watcher.xrange(QUICK.answers)
            assert fields[b"body"] == first.body

        await served(go)

    with_redis(work, clients=2)


def test_what_fails_again_and_again_is_buried_and_its_neighbours_are_answered(with_redis):  # noqa: F811 - the fixture
    async def work(client, watcher):
        async def go(app):
            core = Core(app.edge.service)
            keyed = app.edge.service.pipeline.keyed

            async def no():
                return refusal(503, "Cannot answer", "")

            app.edge.service.pipeline.keyed = lambda body, *rest: no() if body == MESSAGES[1] else keyed(body, *rest)
            for body in MESSAGES[:3]:
                await watcher.xadd(QUICK.requests, {"body": body})
            consumer = await consume(core, client, "one", lambda: length(watcher, QUICK.dead, 1))
            assert (consumer.state.answered, consumer.state.buried) == (2, 1)

        await served(go)
        ((_, fields),) = await watcher.xrange(QUICK.dead)
        assert fields[b"body"] == MESSAGES[1]
        assert (await watcher.xpending(QUICK.requests, QUICK.group))["pending"] == 0

    with_redis(work, clients=2)


class Killed(BaseException):
    """What takes the whole process away, as a signal does: nobody inside can catch it."""


@pytest.mark.parametrize("names", ["the same", "another each"])
def test_a_message_that_kills_whoever_takes_it_is_buried_and_its_neighbours_are_answered(with_redis, names, caplog):  # noqa: F811 - the fixture
    async def work(client, watcher):
        async def go(app):
            keyed, core, lives = app.edge.service.pipeline.keyed, Core(app.edge.service), 0

            def deadly(body, *rest):
                if body == MESSAGES[1]:
                    raise Killed
                return keyed(body, *rest)

            app.edge.service.pipeline.keyed = deadly
            for body in MESSAGES[:4]:
                await watcher.xadd(QUICK.requests, {"body": body})
            while not await watcher.xlen(QUICK.dead):
                name = "one" if names == "the same" else f"number {lives}"
                stopped = asyncio.Event()
                life = asyncio.create_task(Consumer(core, client, name, QUICK).run(stopped))

                async def over(life=life):
                    return life.done() or await watcher.xlen(QUICK.dead)

                await until(over)
                stopped.set()
                try:
                    await life
                except Killed:
                    lives += 1
                    assert lives <= QUICK.deliveries
                await asyncio.sleep(0.04)  # what was left behind becomes stale
            assert lives == QUICK.deliveries

        await served(go)
        ((number, _), *_) = await watcher.xrange(QUICK.requests, count=1)
        ((_, fields),) = await watcher.xrange(QUICK.dead)
        assert fields[b"body"] == MESSAGES[1]
        assert fields[b"deliveries"] == b"%d" % QUICK.deliveries
        assert [line for line in caplog.messages if "dead letter" in line and number.decode() not in line]
        answers = [json.loads(fields[b"body"])["id"] for _, fields in await watcher.xrange(QUICK.answers)]
        assert answers == [json.loads(body)["id"] for body in (MESSAGES[0], *MESSAGES[2:4])]
        assert (await watcher.xpending(QUICK.requests, QUICK.group))["pending"] == 0

    with_redis(work, clients=2)


def test_that_redis_is_away_is_no_failure_of_a_message(with_redis, monkeypatch):  # noqa: F811 - the fixture
    async def work(client, watcher):
        async def go(app):
            streams, told, finish = msgspec.structs.replace(QUICK, stale_ms=600_000, retry_ms=1), [], Consumer._finish

            async def away(self, *what):
                told.append(what)
                if len(told) <= 2 * QUICK.deliveries:
                    raise ConnectionError("nobody is there")
                return await finish(self, *what)

            monkeypatch.setattr(Consumer, "_finish", away)
            await watcher.xadd(QUICK.requests, {"body": MESSAGES[0]})
            consumer, stopped = Consumer(Core(app.edge.service), client, "one", streams), asyncio.Event()
            running = asyncio.create_task(consumer.run(stopped))
            await until(partial(length, watcher, streams.answers, 1))
            stopped.set()
            await running
            assert (consumer.state.answered, consumer.state.buried) == (1, 0)

        await served(go)

    with_redis(work, clients=2)


def test_who_answers_what_another_has_answered_meanwhile_adds_nothing(with_redis):  # noqa: F811 - the fixture
    """As two do that both believe a message to be theirs, because one of them was away for long."""

    async def work(client, watcher):
        async def go(app):
            consumer = Consumer(Core(app.edge.service), client, "one", QUICK)
            await watcher.xgroup_create(QUICK.requests, QUICK.group, id="0", mkstream=True)
            await watcher.xadd(QUICK.requests, {"body": MESSAGES[0]})
            ((_, (message,)),) = await watcher.xreadgroup(QUICK.group, "one", {QUICK.requests: ">"})
            await consumer._deliver(message)
            await consumer._deliver(message)
            assert consumer.state.answered == await watcher.xlen(QUICK.answers) == 1

        await served(go)

    with_redis(work, clients=2)


# ---------------------------------------------------------------- Redis goes away


class Away:
    """A Redis that nobody reaches."""

    def __init__(self):
        self.asked = 0

    async def xgroup_create(self, *_, **__):
        self.asked += 1
        raise ConnectionError("nobody is there")


class HandClock:
    """Time that passes when somebody waits for it."""

    def __init__(self):
        self.slept = []

    def now_ns(self):
        return sum(self.slept)

    async def sleep(self, ns):
        self.slept.append(ns)
        await asyncio.sleep(0)


async def enough(client):
    return client.asked > 8


class Standing:
    """A core that is asked for nothing but its clock."""

    def __init__(self):
        self.service = self
        self.clock = HandClock()
        self.stream = None


def test_an_absent_redis_is_asked_ever_more_seldom_by_the_injected_clock(caplog):
    async def go():
        core, client, stopped = Standing(), Away(), asyncio.Event()
        running = asyncio.create_task(Consumer(core, client, "one", Streams()).run(stopped))
        await until(partial(enough, client))
        assert (core.stream.connected, core.stream.losses) == (False, 1)
        stopped.set()
        await running
        return [ns // 1_000_000 for ns in core.clock.slept[:8]]

    assert asyncio.run(go()) == [100, 200, 400, 800, 1600, 3200, 5000, 5000]
    assert caplog.messages == ["the stream is away, and asked again until it is back: nobody is there"]


class Server:
    """A redis-server that forgets nothing when it is killed."""

    def __init__(self, folder):
        self.port = free_port()
        self.folder = folder
        self.start()

    def start(self):
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        kept = ["--save", "", "--appendonly", "yes", "--appendfsync", "no"]  # what was written outlives the process
        self.process = subprocess.Popen([*command, *kept], stdout=subprocess.DEVNULL)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def client(self):
        return connect(f"redis://127.0.0.1:{self.port}/0")


async def answers_to(call):
    """What Redis says, once it is there."""
    for _ in range(500):
        try:
            return await call()
        except RedisError:
            await asyncio.sleep(0.02)
    pytest.fail("Redis did not come back")


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="there is no redis-server on this machine")
def test_nothing_is_lost_or_doubled_when_redis_is_killed_and_comes_back(tmp_path, caplog):
    streams = msgspec.structs.replace(QUICK, batch=16, stale_ms=600_000, retry_ms=10)
    sent = bodies(300)

    async def go(app, server):
        service, watcher, client = app.edge.service, server.client(), server.client()
        core = Core(service)
        assert await service.ready()
        consumer, stopped = Consumer(core, client, "one", streams), asyncio.Event()
        assert not await service.ready()  # not yet
        await answers_to(watcher.ping)
        ids = [await watcher.xadd(streams.requests, {"body": body}) for body in sent]
        running = asyncio.create_task(consumer.run(stopped))
        for least in (60, 160):  # answers, whereupon Redis dies in the middle of it
            await until(partial(length, watcher, streams.answers, least))
            server.kill()
            await until(is_false(consumer.state))
            assert not await service.ready()
            metrics = (await ask(app.edge, Sent("GET", "/metrics", b"", [], b""))).body
            assert b"\nseatrial_service_stream_connected 0\n" in metrics
            server.start()
            await answers_to(watcher.ping)
        await until(partial(length, watcher, streams.answers, len(ids)), seconds=30)
        await asyncio.sleep(0.1)
        assert await service.ready()
        stopped.set()
        await running
        found = [fields[b"request"] for _, fields in await watcher.xrange(streams.answers)]
        assert sorted(found) == sorted(ids)  # each once
        assert (await watcher.xpending(streams.requests, streams.group))["pending"] == 0
        assert service.log.seq == len(ids)  # and decided once
        assert await watcher.xlen(streams.dead) == 0
        assert consumer.state.losses >= 2  # and more, where the machine stalls for a second
        for each in (watcher, client):
            await each.aclose()

    server = Server(tmp_path)
    try:
        asyncio.run(served(partial(go, server=server)))
    finally:
        server.kill()
    said = [message.partition(",")[0].partition(" after")[0] for message in caplog.messages]
    assert said == ["the stream is away", "the stream is back"] * (len(said) // 2)


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="there is no redis-server on this machine")
def test_the_command_says_by_http_whether_redis_is_there(tmp_path):
    here, port, server = bundles("payments"), free_port(), Server(tmp_path)
    server.kill()
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"bundles": str(here), "feature_store": str(here / "customers.npz")}))
    source = f"redis://127.0.0.1:{server.port}/0"
    command = ["consume", str(settings), "--from", source, "--port", str(port)]
    process = subprocess.Popen([sys.executable, "-m", "reference_service", *command], stderr=subprocess.PIPE, text=True)

    def ready(wanted):
        for _ in range(600):
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"http://127.0.0.1:{port}/v2/health/ready").status_code == wanted:
                    return
            time.sleep(0.05)
        pytest.fail(f"it did not answer {wanted}")

    try:
        ready(503)
        server.start()
        ready(200)
        process.terminate()
        told = process.communicate(timeout=30)[1]
    finally:
        process.kill()
        server.kill()
    assert process.returncode == 0
    assert [line.partition(",")[0].partition(" after")[0] for line in told.splitlines()] == [
        "the stream is away",
        "the stream is back",
    ]


def is_false(state):
    """A question for `until`: whether the consumer has noticed."""

    async def noticed():
        return not state.connected

    return noticed

"""Requests as messages: each is answered once, whoever dies, and what cannot be answered is set aside."""

import asyncio
import json

import pytest
from test_shared import redis_port, with_redis  # noqa: F401 - fixtures

from benchmarks.fuzz import INFER, ROOT, Sent, ask
from benchmarks.service import bodies
from reference_service.api.core import Core
from reference_service.app import create_app
from reference_service.clock import SystemClock
from reference_service.events.consumer import Consumer, Streams
from reference_service.pipeline import refusal

QUICK = Streams(wait_ms=20, stale_ms=30, deliveries=3)
MESSAGES = bodies(40)


async def served(work):
    """Run `work` with the app of a real bundle."""
    here = ROOT / "scenarios/bundles/payments"
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
            assert (consumer.answered, consumer.buried) == (2, 1)

        await served(go)
        ((_, fields),) = await watcher.xrange(QUICK.dead)
        assert fields[b"body"] == MESSAGES[1]
        assert (await watcher.xpending(QUICK.requests, QUICK.group))["pending"] == 0

    with_redis(work, clients=2)

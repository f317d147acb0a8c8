"""Two replicas and one Redis: a key is answered once, whichever replica the retry reaches."""

import asyncio

import pytest

from reference_service.clock import SystemClock
from reference_service.guards.idempotency import Busy, Idempotency, Kept, Reused
from reference_service.shared.answers import RedisAnswers
from reference_service.shared.connect import connect

HOUR = 3_600_000_000_000
SECOND = 1_000_000_000
SCOPE, PAYLOAD, OTHER = b"scope-0123456789", b"payload-01234567", b"payload-other-89"


def stores(*clients, lease_ns=SECOND):
    return [RedisAnswers(client, HOUR, lease_ns) for client in clients]


def test_one_replica_answers_and_the_other_repeats_it(with_redis):
    async def work(*clients):
        one, two = (Idempotency(store, SystemClock()) for store in stores(*clients))
        calls = []

        async def answer():
            calls.append(1)
            return 200, b"score"

        until = SystemClock().now_ns() + SECOND
        first = await one.answer(SCOPE, PAYLOAD, until, answer)
        again = await two.answer(SCOPE, PAYLOAD, until, answer)
        with pytest.raises(Reused):
            await two.answer(SCOPE, OTHER, until, answer)
        return first, again, len(calls)

    first, again, calls = with_redis(work, clients=2)
    assert (first.status, first.body, first.replayed) == (200, b"score", False)
    assert (again.status, again.body, again.replayed) == (200, b"score", True)
    assert calls == 1


def test_of_many_at_once_one_answers_and_the_others_ask_again(with_redis):
    async def work(*clients):
        guards = [Idempotency(store, SystemClock()) for store in stores(*clients)]
        calls = []

        async def answer():
            calls.append(1)
            await asyncio.sleep(0.05)
            return 200, b"score"

        until = SystemClock().now_ns() + SECOND
        told = await asyncio.gather(
            *(guard.answer(SCOPE, PAYLOAD, until, answer) for guard in guards), return_exceptions=True
        )
        return told, len(calls)

    told, calls = with_redis(work, clients=4)
    assert calls == 1
    assert sum(isinstance(one, Busy) for one in told) == 3


def test_the_claim_of_a_replica_that_died_ends_with_its_lease(with_redis):
    async def work(one, two):
        (first,), (second,) = stores(one, lease_ns=SECOND // 20), stores(two)
        assert await first.claim(SCOPE, PAYLOAD, 1) is None
        assert await second.claim(SCOPE, PAYLOAD, 2) == Kept(PAYLOAD, 0, b"", 1)
        await asyncio.sleep(0.1)
        assert await second.claim(SCOPE, PAYLOAD, 3) is None

    with_redis(work, clients=2)


def test_an_answer_stands_whoever_comes_later(with_redis):
    async def work(client):
        (store,) = stores(client)
        assert await store.claim(SCOPE, PAYLOAD, 1) is None
        await store.keep(SCOPE, Kept(PAYLOAD, 200, b"first", 2))
        await store.keep(SCOPE, Kept(PAYLOAD, 200, b"second", 3))
        await store.drop(SCOPE)
        assert await store.claim(SCOPE, PAYLOAD, 4) == Kept(PAYLOAD, 200, b"first", 2)

    with_redis(work)


def test_work_that_came_to_nothing_leaves_nothing_behind(with_redis):
    async def work(client):
        (store,) = stores(client)
        assert await store.claim(SCOPE, PAYLOAD, 1) is None
        await store.drop(SCOPE)
        assert await store.claim(SCOPE, PAYLOAD, 2) is None

    with_redis(work)


def test_a_redis_that_is_away_is_an_os_error(with_redis):
    async def work(_):
        gone = connect("redis://127.0.0.1:1/0")
        (store,) = stores(gone)
        for call in (store.claim(SCOPE, PAYLOAD, 1), store.keep(SCOPE, Kept(PAYLOAD, 200, b"", 1)), store.drop(SCOPE)):
            with pytest.raises(OSError, match="ConnectionError"):
                await call
        await gone.aclose()

    with_redis(work)

"""What replicas share in Redis: features that are the embedded ones, and a key that is answered once by all of them."""

import asyncio

import pytest
from redis_server import redis_server

from reference_service.clock import SystemClock
from reference_service.guards.idempotency import Busy, Idempotency, Kept, Reused
from reference_service.shared.answers import RedisAnswers
from reference_service.shared.connect import connect
from reference_service.shared.features import NotLoaded, RedisFeatures, load


@pytest.fixture(scope="session")
def redis_port(tmp_path_factory):
    with redis_server(tmp_path_factory.mktemp("redis")) as port:
        yield port


@pytest.fixture
def with_redis(redis_port):
    """Runs a coroutine function that takes as many clients as asked for, each like a replica's own."""

    def run(work, clients=1):
        async def go():
            opened = [connect(f"redis://127.0.0.1:{redis_port}/0") for _ in range(clients)]
            await opened[0].flushall()
            try:
                return await work(*opened)
            finally:
                for client in opened:
                    await client.aclose()

        return asyncio.run(go())

    return run


# ---------------------------------------------------------------- features

COLUMNS = ("tenure_days", "mean_amount")
ROWS = [(7, (12.0, 3.5)), (8, (None, 1.25)), ("a b", (1.0, 2.0))]


def test_what_was_loaded_is_answered_with_its_age(with_redis):
    async def work(client):
        assert await load(client, COLUMNS, ROWS, as_of_ns=123) == 3
        store = RedisFeatures(client, COLUMNS)
        return [await store(entity, 999) for entity, _ in ROWS]

    assert [(row.as_of_ns, row.values) for row in with_redis(work)] == [(123, values) for _, values in ROWS]


def test_a_customer_that_nobody_knows_is_no_outage(with_redis):
    async def work(client):
        await load(client, COLUMNS, ROWS, as_of_ns=123)
        return await RedisFeatures(client, COLUMNS)(9, 0)

    assert with_redis(work).values == (None, None)


def test_a_store_that_lost_its_data_is_an_outage(with_redis):
    async def work(client):
        await load(client, COLUMNS, ROWS, as_of_ns=123)
        await client.flushall()
        with pytest.raises(NotLoaded, match="nothing was loaded"):
            await RedisFeatures(client, COLUMNS)(7, 0)

    with_redis(work)


def test_columns_are_read_by_name(with_redis):
    async def work(client):
        await load(client, ("mean_amount", "unasked", "tenure_days"), [(7, (3.5, 0.0, 12.0))], as_of_ns=123)
        store = RedisFeatures(client, COLUMNS)
        first = await store(7, 0)
        await load(client, COLUMNS, ROWS, as_of_ns=124)
        return first, await store(7, 0)

    assert [row.values for row in with_redis(work)] == [(12.0, 3.5)] * 2


def test_a_load_that_lacks_a_column_is_an_outage(with_redis):
    async def work(client):
        await load(client, ("mean_amount",), [(7, (3.5,))], as_of_ns=123)
        with pytest.raises(NotLoaded, match="lacks tenure_days"):
            await RedisFeatures(client, COLUMNS)(7, 0)

    with_redis(work)


def test_more_rows_than_fit_one_round_trip(with_redis):
    async def work(client):
        rows = [(k, (float(k), None)) for k in range(2501)]
        assert await load(client, COLUMNS, rows, as_of_ns=1) == 2501
        store = RedisFeatures(client, COLUMNS)
        return [(await store(k, 0)).values for k in (0, 999, 1000, 2500)]

    assert with_redis(work) == [(0.0, None), (999.0, None), (1000.0, None), (2500.0, None)]


# ---------------------------------------------------------------- answers

HOUR = 3_600_000_000_000
SECOND = 1_000_000_000
SCOPE, PAYLOAD, OTHER = b"scope-0123456789", b"payload-01234567", b"payload-other-89"


async def at_once():
    """A log that has written everything."""


def stores(*clients, lease_ns=SECOND, committed=at_once):
    return [RedisAnswers(client, HOUR, lease_ns, committed) for client in clients]


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


def test_no_replica_gives_an_answer_that_is_in_no_log_yet(with_redis):
    async def work(*clients):
        written = asyncio.Event()
        one, two = stores(*clients, committed=written.wait)
        assert await one.claim(SCOPE, PAYLOAD, 1) is None
        keeping = asyncio.create_task(one.keep(SCOPE, Kept(PAYLOAD, 200, b"score", 2)))
        await asyncio.sleep(0.05)
        before = await two.claim(SCOPE, PAYLOAD, 3)
        written.set()
        await keeping
        return before.status, (await two.claim(SCOPE, PAYLOAD, 4)).status

    assert with_redis(work, clients=2) == (0, 200)


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

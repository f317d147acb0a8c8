"""A Redis that is full: real refusals, counted by itself, and undone whatever happens."""

import asyncio
import contextlib

import httpx
import pytest
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError
from redis_server import redis_server

from simulator.drivers.dependencies import Dependencies
from simulator.drivers.fault_proxies import FaultProxies
from simulator.history.schema import NEVER
from simulator.proxy.api import Proxies, serve
from simulator.scenario.verbs import Event

FULL = Event.model_validate({"event": "e", "at": "1s", "dependency": {"name": "answers", "fault": "full"}})


@pytest.fixture(scope="module")
def redis_port(tmp_path_factory):
    with redis_server(
        tmp_path_factory.mktemp("redis"), "--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"
    ) as port:
        yield port


@contextlib.asynccontextmanager
async def place(port):
    """The dependency `answers`, a client of it through the proxy, and one that goes past it."""
    proxies = Proxies(seed=3)
    server = await serve(proxies.answer)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
        kept = FaultProxies(http, "127.0.0.1")
        address = await kept.stand_before("answers", f"127.0.0.1:{port}")
        dependencies = Dependencies(kept, {"answers": f"127.0.0.1:{port}"}, {})
        async with Redis.from_url(f"redis://{address}") as wired, Redis.from_url(f"redis://127.0.0.1:{port}") as past:
            yield dependencies, wired, past
        await kept.leave()
    server.close()
    await proxies.close()


def run(trial):
    asyncio.run(asyncio.wait_for(trial, 30))


async def as_it_was(redis):
    found = await redis.config_get("maxmemory*")
    return found["maxmemory"] == str(64 << 20) and found["maxmemory-policy"] == "allkeys-lru"


def test_what_writes_is_refused_and_counted_what_reads_goes_on_and_no_key_is_lost(redis_port):
    async def trial():
        async with place(redis_port) as (dependencies, wired, past):
            await wired.set("kept", "1")
            assert await dependencies.break_with(FULL) is None
            for _ in range(3):
                with pytest.raises(OutOfMemoryError):
                    await wired.set("new", "1")
            assert await wired.get("kept") == b"1"
            receipt = await dependencies.heal(FULL, 7)
            assert (receipt.at_ns, receipt.planned, receipt.delivered, receipt.potent) == (7, 3, 3, 3)
            assert await wired.set("new", "1")
            assert await as_it_was(past)

    run(trial())


def test_refusals_of_somebody_else_are_no_receipt(redis_port):
    async def trial():
        async with place(redis_port) as (dependencies, _, past):
            assert await dependencies.break_with(FULL) is None
            with pytest.raises(OutOfMemoryError):
                await past.set("new", "1")
            receipt = await dependencies.heal(FULL, 7)
            assert (receipt.at_ns, receipt.potent) == (NEVER, 0)
            assert "is the service told" in receipt.detail

    run(trial())


def test_full_and_nobody_wrote_is_impotent(redis_port):
    async def trial():
        async with place(redis_port) as (dependencies, wired, _):
            assert await dependencies.break_with(FULL) is None
            await wired.get("kept")
            receipt = await dependencies.heal(FULL, 7)
            assert (receipt.planned, receipt.delivered, receipt.potent) == (1, 0, 0)

    run(trial())


def test_a_run_that_is_broken_off_leaves_no_redis_full(redis_port):
    async def trial():
        async with place(redis_port) as (dependencies, _, past):
            assert await dependencies.break_with(FULL) is None
            assert not await as_it_was(past)
            assert await dependencies.whole() is None
            assert await as_it_was(past)

    run(trial())


def test_one_that_is_full_already_is_left_alone_for_nobody_could_put_it_back(redis_port):
    async def trial():
        async with place(redis_port) as (dependencies, _, past):
            assert await dependencies.break_with(FULL) is None
            again = FULL.model_copy(update={"event": "again"})
            assert "full already" in await dependencies.break_with(again)
            assert await dependencies.whole() is None
            assert await as_it_was(past)

    run(trial())

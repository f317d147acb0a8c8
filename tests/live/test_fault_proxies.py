"""The fault proxies of a run, ours and one that knows no more than a real Toxiproxy does."""

import asyncio
import contextlib

import httpx
import pytest
from foreign_toxiproxy import toxiproxy

from simulator.drivers.dependencies import Dependencies
from simulator.drivers.fault_proxies import UNCOUNTED, FaultProxies
from simulator.proxy.api import Proxies, serve
from simulator.scenario.verbs import Event

WAIT = {"name": "t", "type": "latency", "stream": "downstream", "toxicity": 1.0, "attributes": {"latency": 1}}


async def echo(reader, writer):
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()


@contextlib.asynccontextmanager
async def upstream():
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@contextlib.asynccontextmanager
async def ours():
    proxies = Proxies(seed=3)
    server = await serve(proxies.answer)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", proxies
    finally:
        server.close()
        await proxies.close()


@contextlib.asynccontextmanager
async def speaking(keeper):
    async with keeper as (url, kept), httpx.AsyncClient(base_url=url, trust_env=False) as http, upstream() as to:
        proxies = FaultProxies(http, "127.0.0.1")
        address = await proxies.stand_before("store", to)
        yield proxies, address, kept, to
        await proxies.leave()


async def exchange(address, times=1):
    """So many words on one connection; those that came back."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    came = 0
    try:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            for _ in range(times):
                writer.write(b"hello")
                await asyncio.wait_for(reader.readexactly(5), 5)
                came += 1
    finally:
        writer.close()
    return came


def run(trial):
    asyncio.run(asyncio.wait_for(trial, 30))


def test_toxiproxy_s_count_is_of_what_went_through_the_toxic_alone(monkeypatch):
    async def trial():
        async with speaking(toxiproxy(monkeypatch)) as (proxies, address, kept, _):
            host, _, port = address.rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))  # kept open all the time, and used before
            writer.write(b"x" * 1000)
            await reader.readexactly(1000)
            assert await proxies.poison("store", WAIT) is None
            assert await exchange(address, 3) == 3
            count = await proxies.cure("store", "t")
            assert (count.bytes, count.used, count.taken) == (15, None, None)
            assert await exchange(address) == 1
            assert kept.relays["seatrial-store"].toxics == {}
            assert await reader.read() == b""  # cut when the fault began
            writer.close()

    run(trial())


def test_a_toxiproxy_that_does_not_count_is_not_taken_at_its_word(monkeypatch):
    async def trial():
        async with speaking(toxiproxy(monkeypatch, metrics=False)) as (proxies, address, kept, _):
            assert await proxies.poison("store", WAIT) == UNCOUNTED
            assert kept.relays["seatrial-store"].toxics == {}
            assert await exchange(address) == 1

    run(trial())


def test_toxiproxy_cannot_say_whom_a_share_took(monkeypatch):
    async def trial():
        async with speaking(toxiproxy(monkeypatch)) as (proxies, *_):
            assert "leave `share` out" in await proxies.poison("store", WAIT | {"toxicity": 0.5})
            assert await proxies.whole() is None

    run(trial())


@pytest.mark.parametrize("keeper", [lambda _: ours(), toxiproxy], ids=["ours", "foreign"])
def test_what_others_keep_there_is_left_alone_and_what_a_killed_run_left_is_replaced(monkeypatch, keeper):
    async def trial():
        async with keeper(monkeypatch) as (url, kept), upstream() as to, httpx.AsyncClient(base_url=url) as http:
            for name in ("theirs", "seatrial-store"):
                said = {"name": name, "listen": "127.0.0.1:0", "upstream": to, "enabled": True}
                await http.post("/proxies", json=said)
                await http.post(f"/proxies/{name}/toxics", json=WAIT | {"name": "old"})
            proxies = FaultProxies(http, "127.0.0.1")
            await proxies.stand_before("store", to)
            assert kept.relays["seatrial-store"].toxics == {}
            await proxies.poison("store", WAIT)
            await proxies.part("store")
            assert await proxies.parted("store")
            assert await proxies.whole() is None
            assert not await proxies.parted("store")
            await proxies.leave()
            assert set(kept.relays) == {"theirs"}
            assert set(kept.relays["theirs"].toxics) == {"old"}

    run(trial())


def event(**dependency):
    return Event.model_validate({"event": "e", "at": "1s", "dependency": {"name": "store", **dependency}})


@pytest.mark.parametrize(
    ("share", "connections", "expected"),
    [
        (0.5, 40, (20, 20, 20)),
        (0.25, 40, (10, 10, 10)),
        (0.5, 2, (1, 0, 0)),  # a pool that keeps its connections: one of two says nothing about half of the calls
        (1, 1, (1, 1, 1)),
        (1, 0, (1, 0, 0)),
    ],
)
def test_the_receipt_of_a_share_counts_the_connections_that_were_taken(share, connections, expected):
    async def trial():
        async with speaking(ours()) as (proxies, address, _, to):
            dependencies = Dependencies(proxies, {"store": to}, {})
            down = event(fault="down", share=share)
            assert await dependencies.break_with(down) is None
            came = [await exchange(address) for _ in range(connections)]
            receipt = await dependencies.heal(down, 7)
            assert (receipt.planned, receipt.delivered, receipt.potent) == expected, receipt.detail
            assert dependencies.counted.get(down.event, 0) >= receipt.delivered  # by the proxy, whatever its toxics say
            if receipt.potent:
                assert came.count(0) == receipt.potent

    run(trial())


def test_a_wait_that_nobody_waited_out_is_not_potent():
    async def trial():
        async with speaking(ours()) as (proxies, address, _, to):
            dependencies = Dependencies(proxies, {"store": to}, {})
            slow = event(fault="slow", by="1h")
            assert await dependencies.break_with(slow) is None
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(exchange(address), 0.2)
            receipt = await dependencies.heal(slow, 7)
            assert (receipt.planned, receipt.delivered, receipt.potent) == (1, 1, 0)

    run(trial())


def test_what_a_proxy_cannot_do_is_said():
    async def trial():
        async with speaking(ours()) as (proxies, _, kept, to):
            dependencies = Dependencies(proxies, {"store": to}, {})
            for said, why in [
                ({"fault": "full"}, "only a Redis that may be configured"),
                ({"fault": "full", "share": 0.5}, "full for everybody"),
                ({"fault": "stale", "by": "1h"}, "cannot make a dependency stale"),
                ({"fault": "slow", "by": "10us"}, "whole milliseconds"),
            ]:
                assert why in await dependencies.break_with(event(**said))
            assert kept.relays["seatrial-store"].toxics == {}
            assert await dependencies.whole() is None

    run(trial())

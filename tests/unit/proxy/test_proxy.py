"""The fault proxy over real sockets of this machine, and its control in toxiproxy's shape."""

from __future__ import annotations

import asyncio
import contextlib

import httpx
import pytest

from simulator.proxy.api import Proxies, serve


async def echo(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
    except (OSError, asyncio.CancelledError):
        pass
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def place():
    """An echo behind the proxy `store`, and a client of the API."""
    upstream = await asyncio.start_server(echo, "127.0.0.1", 0)
    proxies = Proxies(seed=7)
    api = await serve(proxies.answer)
    url = f"http://127.0.0.1:{api.sockets[0].getsockname()[1]}"
    async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
        address = f"127.0.0.1:{upstream.sockets[0].getsockname()[1]}"
        said = [{"name": "store", "listen": "127.0.0.1:0", "upstream": address}]
        assert (await http.post("/populate", json=said)).status_code == 201
        try:
            yield http
        finally:
            for writer in OPENED:
                writer.transport.abort()
            OPENED.clear()
            await proxies.close()
            api.close()
            upstream.close()


OPENED = []


async def connect(http):
    host, _, port = (await http.get("/proxies/store")).json()["listen"].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    OPENED.append(writer)
    return reader, writer


async def said_back(reader, writer, data=b"hello", within=5.0):
    writer.write(data)
    return await asyncio.wait_for(reader.readexactly(len(data)), within)


async def poison(http, kind, stream="upstream", toxicity=1.0, **attributes):
    said = {"name": "t", "type": kind, "stream": stream, "toxicity": toxicity, "attributes": attributes}
    assert (await http.post("/proxies/store/toxics", json=said)).status_code == 200


async def receipt(http):
    toxic = (await http.get("/proxies/store/toxics/t")).json()
    return toxic["connections"], toxic["bytes"]


def run(trial):
    async def go():
        async with place() as http:
            await trial(http)

    asyncio.run(asyncio.wait_for(go(), 20))


def test_without_a_toxic_everything_passes_and_an_idle_toxic_has_no_receipt():
    async def trial(http):
        line = await connect(http)
        assert await said_back(*line) == b"hello"
        await poison(http, "latency", latency=1)
        assert await receipt(http) == (0, 0)

    run(trial)


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("latency", {"latency": 20, "jitter": 5}),
        ("bandwidth", {"rate": 1}),
        ("slicer", {"average_size": 2, "delay": 100}),
    ],
)
def test_slow_toxics_change_no_byte_and_count(kind, attributes):
    async def trial(http):
        line = await connect(http)
        await poison(http, kind, **attributes)
        assert await said_back(*line, b"0123456789") == b"0123456789"
        assert await receipt(http) == (1, 10)

    run(trial)


def test_latency_is_waited_for():
    async def trial(http):
        line = await connect(http)
        await poison(http, "latency", latency=60_000)
        with pytest.raises(TimeoutError):
            await said_back(*line, within=0.1)

    run(trial)


def test_a_reset_is_a_reset_and_ends_with_the_toxic():
    async def trial(http):
        await poison(http, "reset_peer")
        with pytest.raises(ConnectionResetError):
            await said_back(*await connect(http))
        assert await receipt(http) == (1, 5)
        assert (await http.post("/reset")).status_code == 204
        assert await said_back(*await connect(http)) == b"hello"

    run(trial)


def test_a_half_open_connection_swallows_and_lives_on():
    async def trial(http):
        line = await connect(http)
        await poison(http, "timeout")
        with pytest.raises(TimeoutError):
            await said_back(*line, within=0.1)
        assert (await http.delete("/proxies/store/toxics/t")).status_code == 204
        assert await said_back(*line, b"again") == b"again"

    run(trial)


def test_a_partition_refuses_and_heals_at_the_same_address():
    async def trial(http):
        reader, _ = line = await connect(http)
        await said_back(*line)
        before = (await http.get("/proxies/store")).json()["listen"]
        await http.post("/proxies/store", json={"enabled": False})
        host, _, port = before.rpartition(":")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(host, int(port))
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        await http.post("/reset")
        assert (await http.get("/proxies/store")).json()["listen"] == before
        assert await said_back(*await connect(http)) == b"hello"

    run(trial)


def test_a_share_of_the_connections_is_the_same_share_each_time():
    async def once():
        async with place() as http:
            await poison(http, "reset_peer", toxicity=0.5)
            lost = []
            for _ in range(12):
                try:
                    await said_back(*await connect(http))
                except ConnectionResetError:
                    lost.append(True)
                else:
                    lost.append(False)
            assert (await receipt(http))[0] == sum(lost)
            return lost

    first, second = asyncio.run(once()), asyncio.run(once())
    assert first == second
    assert 0 < sum(first) < 12


def test_what_cannot_be_done_is_said():
    async def trial(http):
        assert (await http.get("/proxies/nothing")).status_code == 404
        assert (await http.post("/proxies/store/toxics", json={"type": "snake"})).status_code == 400
        assert (await http.post("/proxies", content=b"{")).status_code == 400
        assert (await http.post("/reset", headers={"origin": "http://a.page"})).status_code == 403
        assert set((await http.get("/proxies")).json()) == {"store"}

    run(trial)

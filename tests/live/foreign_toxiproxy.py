"""A stand-in for a real Toxiproxy: our own proxy behind an HTTP API that knows no more than Toxiproxy's.

No toxic says what it did. With `metrics`, bytes are counted as Toxiproxy counts them: each connection's, when it ends.
"""

import asyncio
import contextlib
import threading
from collections import Counter
from typing import ClassVar

import msgspec

from simulator.proxy import api
from simulator.proxy.relay import Relay

OURS = {"used", "connections", "potent", "bytes"}


class Metered:
    """A reader that counts what was read."""

    def __init__(self, reader):
        self.reader, self.bytes = reader, 0

    async def read(self, most):
        data = await self.reader.read(most)
        self.bytes += len(data)
        return data


class CountsAtTheEnd(Relay):
    total: ClassVar[Counter] = Counter()

    async def _pump(self, number, way, reader, writer):
        metered = Metered(reader)
        try:
            await super()._pump(number, way, metered, writer)
        finally:
            self.total[self.name, way] += metered.bytes


def without_counts(said):
    if isinstance(said, dict):
        return {k: without_counts(v) for k, v in said.items() if k not in OURS}
    return [without_counts(one) for one in said] if isinstance(said, list) else said


@contextlib.asynccontextmanager
async def toxiproxy(monkeypatch, *, metrics=True):
    """The API's URL, and the proxies behind it."""
    monkeypatch.setattr(api, "Relay", CountsAtTheEnd)
    monkeypatch.setattr(CountsAtTheEnd, "total", Counter())
    proxies = api.Proxies(seed=1)

    async def one(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, path, _ = head.split(" ", 2)
        lengths = [line.partition(":")[2] for line in head.lower().split("\r\n") if line.startswith("content-length")]
        body = await reader.readexactly(int(lengths[0]) if lengths else 0)
        if path == "/metrics":
            status = 200 if metrics else 404
            series = "".join(
                f'toxiproxy_proxy_received_bytes_total{{direction="{way}",listener="[::]:1",proxy="{name}",'
                f'upstream="x:1"}} {count:g}\n'
                for (name, way), count in CountsAtTheEnd.total.items()
            )
            payload = series.encode()
        else:
            status, said = await proxies.answer(method, path, body)
            payload = b"" if said is None else msgspec.json.encode(without_counts(said))
        length = "" if status == 204 else f"content-length: {len(payload)}\r\n"
        writer.write(f"HTTP/1.1 {status} x\r\nconnection: close\r\n{length}\r\n".encode() + payload)
        writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", proxies
    finally:
        server.close()
        await proxies.close()


@contextlib.contextmanager
def toxiproxy_elsewhere(monkeypatch):
    """The same beside whatever loop the test runs; its URL."""
    ready, over, found = threading.Event(), threading.Event(), []

    async def serve():
        async with toxiproxy(monkeypatch) as (url, _):
            found.append(url)
            ready.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(10)
        yield found[0]
    finally:
        over.set()
        thread.join(10)

"""One proxied address: connections are relayed both ways, through whatever toxics are on at that moment."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from typing import Final

import numpy as np

from simulator.proxy.toxics import ACTS, Cut, Stream, Toxic
from simulator.world.keyed import Draw

_PIECE: Final = 1 << 16
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: closing sends RST


class Relay:
    """Listens on `listen` and relays to `upstream`, both ``host:port``; not listening until it is enabled."""

    def __init__(self, name: str, listen: str, upstream: str, seed: int) -> None:
        self.name, self.listen, self.upstream = name, listen, upstream
        self.toxics: dict[str, Toxic] = {}
        self.connections = 0
        self.struck = 0  # pieces that a toxic got hold of, whatever each toxic says of itself
        self._draw = Draw(seed, f"proxy:{name}")
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def enabled(self) -> bool:
        """Whether anybody can connect."""
        return self._server is not None

    async def enable(self) -> None:
        """Listen. A port of 0 becomes a free one and is kept from then on."""
        if self._server is None:
            host, _, port = self.listen.rpartition(":")
            self._server = await asyncio.start_server(self._accept, host, int(port))
            self.listen = f"{host}:{self._server.sockets[0].getsockname()[1]}"

    async def disable(self) -> None:
        """A partition: new connections are refused, those that are open end."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - asyncio starts one for each connection
        self._tasks.add(task)
        number, self.connections = self.connections, self.connections + 1
        ends = [writer]
        try:
            host, _, port = self.upstream.rpartition(":")
            beyond, to = await asyncio.open_connection(host, int(port))
            ends.append(to)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(number, "upstream", reader, to))
                both.create_task(self._pump(number, "downstream", beyond, writer))
        except* Cut as cuts:
            if any(isinstance(cut, Cut) and cut.hard for cut in cuts.exceptions):
                for end in ends:
                    end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        except* (OSError, asyncio.CancelledError):
            pass  # either side is gone, or the relay was disabled; and so is the connection
        finally:
            for end in ends:
                end.transport.abort()
            self._tasks.discard(task)

    async def _pump(
        self, number: int, way: Stream,
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
    ) -> None:  # fmt: skip
        nth = 0
        while data := await reader.read(_PIECE):
            here = [toxic for toxic in self.toxics.values() if toxic.stream == way]
            on = [toxic for toxic in here if self._takes(toxic, number)]
            for toxic in here:
                toxic.used.add(number)
            for toxic in on:
                toxic.connections.add(number)
                toxic.affected += len(data)
            async for piece in self._through(on, number, nth, data):
                writer.write(piece)
                await writer.drain()
            nth += 1
        with contextlib.suppress(OSError):
            writer.write_eof()

    def _takes(self, toxic: Toxic, number: int) -> bool:
        # Every so-manieth connection from a drawn one on: of n in a row, n * toxicity are taken, give or take one.
        phase = self._uniform(f"takes:{toxic.name}", 0)
        return math.floor((number + 1) * toxic.toxicity + phase) > math.floor(number * toxic.toxicity + phase)

    def _uniform(self, purpose: str, index: int) -> float:
        return float(self._draw.uniform(purpose, np.array([index]))[0])

    async def _through(self, on: Sequence[Toxic], number: int, nth: int, data: bytes) -> AsyncIterator[bytes]:
        if not on:
            yield data
            return
        self.struck += 1
        first, *rest = on
        u = self._uniform(f"acts:{first.name}:{number}", nth)
        try:
            async for piece in ACTS[first.kind](first, u, data):
                async for out in self._through(rest, number, nth, piece):
                    yield out
        except Cut:
            first.potent.add(number)
            raise
        first.potent.add(number)

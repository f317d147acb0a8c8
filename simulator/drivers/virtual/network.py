"""The harness' own network: in-memory connections between a client protocol and a server protocol.

A client library that goes through ``loop.create_connection`` (httpx, aiohttp, …) works unmodified.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

ProtocolFactory = Callable[[], Any]


class Network:
    """Which (host, port) are served, and by whom."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._servers: dict[tuple[str, int], ProtocolFactory] = {}

    def serve(self, host: str, port: int, factory: ProtocolFactory) -> None:
        """From now on connections to host:port get a protocol from `factory`."""
        self._servers[host, port] = factory

    def serves(self, host: Any, port: Any) -> bool:
        """Whether anybody listens there."""
        return (str(host), int(port or 0)) in self._servers

    def connect(self, factory: ProtocolFactory, host: str, port: int, *, ssl: Any = None) -> tuple[Any, Any]:
        """Join a new client protocol to a new server protocol; (transport, protocol) as asyncio returns them."""
        if ssl:
            raise ConnectionError(f"{host}:{port} of the virtual network speaks plain HTTP; use http://")
        client, server = factory(), self._servers[host, port]()
        near = Pipe(self._loop, client, (host, port))
        far = Pipe(self._loop, server, ("client", 0))
        near.peer, far.peer = far, near
        server.connection_made(far)
        client.connection_made(near)
        return near, client


class Endpoint:
    """What anyio and others ask of the socket behind a transport: addresses and options, no descriptor."""

    family = socket.AF_INET

    def __init__(self, peer: tuple[str, int]) -> None:
        self._peer = peer

    def getpeername(self) -> tuple[str, int]:
        """Whom this end talks to."""
        return self._peer

    def getsockname(self) -> tuple[str, int]:
        """This end."""
        return ("virtual", 0)

    def setsockopt(self, *_: Any) -> None:
        """No option changes anything here."""

    def fileno(self) -> int:
        """No descriptor, as for a closed socket."""
        return -1


class Pipe(asyncio.Transport):
    """One end of an in-memory connection."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: Any, address: tuple[str, int]) -> None:
        super().__init__({"peername": address, "sockname": ("virtual", 0), "socket": Endpoint(address)})
        self.peer: Pipe | None = None
        self._loop = loop
        self._protocol = protocol
        self._closing = False
        self._paused = False
        self._held: list[bytes | None] = []  # None is end of file

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand the connection to another protocol."""
        self._protocol = protocol

    def get_protocol(self) -> Any:
        """The protocol in charge."""
        return self._protocol

    def is_closing(self) -> bool:
        """Whether this end was closed."""
        return self._closing

    def is_reading(self) -> bool:
        """Whether received data is passed on."""
        return not self._paused and not self._closing

    def pause_reading(self) -> None:
        """Hold back what arrives."""
        self._paused = True

    def resume_reading(self) -> None:
        """Pass on what was held back, and what comes."""
        self._paused = False
        self._loop.call_soon(self._drain)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Deliver to the other end in a later callback of this instant."""
        if not self._closing and data:
            self._send(bytes(data))

    def can_write_eof(self) -> bool:
        """Half-closing is possible."""
        return True

    def write_eof(self) -> None:
        """Tell the other end that nothing more comes."""
        self._send(None)

    def get_write_buffer_size(self) -> int:
        """Nothing is ever buffered on this side."""
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Accepted and ignored: the pipe never fills."""

    def close(self) -> None:
        """Close both ways; the other end sees end of file."""
        if not self._closing:
            self._closing = True
            self._send(None)
            self._loop.call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        """As close."""
        self.close()

    def _send(self, data: bytes | None) -> None:
        if self.peer is not None:
            self.peer._held.append(data)  # noqa: SLF001 - the other end of the same pipe
            self._loop.call_soon(self.peer._drain)  # noqa: SLF001

    def _drain(self) -> None:
        while self._held and self.is_reading():
            data = self._held.pop(0)
            if data is not None:
                self._protocol.data_received(data)
            elif not self._protocol.eof_received():
                self.close()

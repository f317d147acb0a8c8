"""A way to the alert receiver without sockets, for services that take one.

A heartbeat a minute to three receivers is 130,000 connections in a virtual month: as an HTTP client makes them, they
would cost more than the requests do. A service that does not take it goes through the virtual network, as before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from urllib.parse import urlsplit

from simulator.drivers.virtual.loop import VirtualLoop
from simulator.targets import sink as sinks


class Post:
    """Takes a URL and a body, gives the HTTP status.

    Args:
        loop: whose instant it arrives in.
        receive: what the receiver does with a path and a body.
    """

    def __init__(self, loop: VirtualLoop, receive: Callable[[str, bytes], int]) -> None:
        self._loop = loop
        self._receive = receive
        self._paths: dict[str, str] = {}  # URLs of ours: a service has a few, and tells each every minute

    async def __call__(self, url: str, body: bytes) -> int:
        """Raises ConnectionRefusedError for any other receiver, and marks the run: it would have been a real one."""
        await asyncio.sleep(0)  # as over a wire, the receiver hears of it after the sender has gone on
        path = self._paths.get(url)
        if path is None:
            asked = urlsplit(url)
            if (asked.hostname, asked.port or sinks.PORT) != (sinks.HOST, sinks.PORT):
                await self._loop.create_connection(asyncio.Protocol, asked.hostname, asked.port or sinks.PORT)
            path = self._paths[url] = asked.path
        return self._receive(path, body)

"""A Redis that is full: what it does then is its own doing, and it counts the commands that it refuses.

Its limit is set to one byte, without eviction: no key is lost, what reads goes on, what would write is refused. All
its clients see that, not only the service. It is undone at the end of the event, or of the run.
"""

from __future__ import annotations

import asyncio
import re
from typing import Final

_PATIENCE: Final = 5.0  # seconds for one answer
_OOM: Final = re.compile(rb"errorstat_OOM:count=(\d+)")
_FULL: Final = {"maxmemory-policy": "noeviction", "maxmemory": "1"}


class RedisError(OSError):
    """It does not answer, or not as a Redis that lets itself be configured."""


class FullRedis:
    """One Redis, full until it is `restored`.

    Args:
        address: ``host:port``.
    """

    def __init__(self, address: str) -> None:
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._was: dict[str, str] = {}
        self._refused = 0

    async def fill(self) -> None:
        """Make it full. Raises RedisError."""
        self._refused = await self._errors()
        was = {}
        for name in _FULL:
            found = await self._ask("CONFIG", "GET", name)
            if len(found) != 2:  # noqa: PLR2004 - name and value
                raise RedisError(f"it has no setting {name}")
            was[name] = found[1].decode()
        if was == _FULL:  # then nobody could put it back as it was
            raise RedisError("it is full already, by another event or by a run that was killed: set maxmemory by hand")
        for name, value in _FULL.items():
            self._was[name] = was[name]
            await self._ask("CONFIG", "SET", name, value)

    async def refused(self) -> int:
        """How many commands it refused since, for want of memory. Raises RedisError."""
        return await self._errors() - self._refused

    async def restored(self) -> None:
        """As it was. Raises RedisError."""
        for name, value in reversed(list(self._was.items())):
            await self._ask("CONFIG", "SET", name, value)
            del self._was[name]

    async def _errors(self) -> int:
        said = b"".join(await self._ask("INFO", "errorstats"))
        if b"# Errorstats" not in said:
            raise RedisError("it does not count its errors; Redis does from 6.2 on")
        found = _OOM.search(said)
        return int(found[1]) if found else 0

    async def _ask(self, *words: str) -> list[bytes]:
        """One command on a connection of its own; a status, a string or a list of strings comes back as a list."""
        try:
            async with asyncio.timeout(_PATIENCE):
                reader, writer = await asyncio.open_connection(self._host, self._port)
                try:
                    writer.write(
                        b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w.encode()) for w in words)
                    )
                    return await _reply(reader)
                finally:
                    writer.close()
        except (OSError, EOFError, ValueError) as error:
            raise RedisError(
                f"{self._host}:{self._port}, asked {' '.join(words[:2])}: {error or 'no answer'}"
            ) from error


async def _reply(reader: asyncio.StreamReader) -> list[bytes]:
    line = (await reader.readuntil(b"\r\n"))[:-2]
    kind, rest = line[:1], line[1:]
    if kind == b"$":
        return [(await reader.readexactly(int(rest) + 2))[:-2]]
    if kind == b"*":
        return [(await _reply(reader))[0] for _ in range(int(rest))]
    if kind == b"+":
        return [rest]
    raise RedisError(rest.decode("utf-8", "replace") if kind == b"-" else "it does not speak Redis' protocol")

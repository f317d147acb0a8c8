"""How the body of an alert gets to its receiver."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol, runtime_checkable

import httpx

# Takes a URL and a JSON body, gives the HTTP status; raises OSError where nobody answered.
Post = Callable[[str, bytes], Awaitable[int]]
# Reading the certificates takes 25 ms: once a process, not once a client.
_TRUSTED: Final = httpx.create_ssl_context(trust_env=False)
# A minute lies between two heartbeats: longer than most receivers keep a connection open.
_HEADERS: Final = {"Content-Type": "application/json", "Connection": "close"}


@runtime_checkable
class Closing(Protocol):
    """Something that has connections to let go of."""

    async def aclose(self) -> None:
        """No post will follow."""


class HttpPost:
    """Over HTTP, with short timeouts: a receiver that is slow is a receiver that is down.

    Args:
        client: in place of one of its own.
    """

    __slots__ = ("_client",)

    def __init__(self, client: httpx.AsyncClient | None = None) -> None:
        self._client = client or httpx.AsyncClient(timeout=5.0, trust_env=False, verify=_TRUSTED)

    async def __call__(self, url: str, body: bytes) -> int:
        """Send one body. Raises ConnectionError."""
        try:
            return (await self._client.post(url, content=body, headers=_HEADERS)).status_code
        except httpx.HTTPError as error:
            raise ConnectionError(type(error).__name__) from error

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()

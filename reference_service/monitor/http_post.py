"""Alerts over HTTP. A module of its own: only a service that has receivers takes the time to load a client."""

from __future__ import annotations

from typing import Final

import httpx

# Reading the certificates takes 25 ms: once a process, not once a client.
_TRUSTED: Final = httpx.create_ssl_context(trust_env=False)
# A minute lies between two heartbeats: longer than most receivers keep a connection open.
_HEADERS: Final = {"Content-Type": "application/json", "Connection": "close"}


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

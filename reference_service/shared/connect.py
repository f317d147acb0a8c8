"""The one way in which the service talks to Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from redis.asyncio import Redis

_SECONDS: Final = 1.0  # for a connection, and for an answer: far more than any request has


def connect(url: str, *, seconds: float = _SECONDS) -> Redis:
    """A client that never asks twice by itself: the deadline, the retry budget and the breaker are its callers'.

    Args:
        url: such as ``redis://features:6379/0``. Nothing is sent yet.
        seconds: for an answer; more for who waits on purpose.
    """
    # An extra: who shares nothing needs no Redis.
    from redis.asyncio import Redis  # noqa: PLC0415
    from redis.asyncio.retry import Retry  # noqa: PLC0415
    from redis.backoff import NoBackoff  # noqa: PLC0415

    return Redis.from_url(url, retry=Retry(NoBackoff(), 0), socket_timeout=seconds, socket_connect_timeout=_SECONDS)


class Connections:
    """What has to be closed at the end."""

    __slots__ = ("_clients",)

    def __init__(self) -> None:
        self._clients: list[Redis] = []

    def to(self, url: str) -> Redis:
        """A client of its own."""
        self._clients.append(connect(url))
        return self._clients[-1]

    async def close(self) -> None:
        """Hang up."""
        for client in self._clients:
            await client.aclose()

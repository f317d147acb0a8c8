"""The one way in which the service talks to Redis."""

from __future__ import annotations

from typing import Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

_SECONDS: Final = 1.0  # for a connection, and for an answer: far more than any request has


def connect(url: str) -> Redis:
    """A client that never asks twice by itself: the deadline, the retry budget and the breaker are its callers'.

    Args:
        url: such as ``redis://features:6379/0``. Nothing is sent yet.
    """
    return Redis.from_url(url, retry=Retry(NoBackoff(), 0), socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS)

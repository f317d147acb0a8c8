"""How the body of an alert gets to its receiver."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, runtime_checkable

# Takes a URL and a JSON body, gives the HTTP status; raises OSError where nobody answered.
Post = Callable[[str, bytes], Awaitable[int]]


@runtime_checkable
class Closing(Protocol):
    """Something that has connections to let go of."""

    async def aclose(self) -> None:
        """No post will follow."""


async def nowhere(_url: str, _body: bytes) -> int:
    """The post of a service that has no receivers."""
    raise ConnectionError("no receivers")

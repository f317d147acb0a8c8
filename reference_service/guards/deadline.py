"""What is left of a request's time. The deadline starts when the request enters the app: waiting is part of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


def remaining_ns(arrived_ns: int, deadline_ns: int, now_ns: int) -> int:
    """Time left at `now_ns`; zero or less when it is over."""
    return arrived_ns + deadline_ns - now_ns


async def within(awaitable: Awaitable[T], budget_ns: int) -> T:
    """The result of `awaitable`, or TimeoutError once `budget_ns` are over; what is late is cancelled.

    Loop time is the clock here: the same instants as the injected clock's, which is the loop's.
    """
    if budget_ns <= 0:
        close = getattr(awaitable, "close", None) or getattr(awaitable, "cancel", None)
        if close is not None:
            close()
        raise TimeoutError
    async with asyncio.timeout(budget_ns * 1e-9):
        return await awaitable

"""The only source of time. Whatever waits or measures takes a `Clock`; nothing else reads one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

SECOND = 1_000_000_000


class Clock(Protocol):
    """Wall time that can be waited on."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC; never goes back."""

    async def sleep(self, ns: int) -> None:
        """Return once `now_ns()` has advanced by `ns`."""


class LoopClock:
    """The running event loop's time plus an epoch, so that whoever replaces the loop replaces the time.

    The epoch is taken from the system once, at the first look: a step of the system's clock moves nothing here.
    """

    __slots__ = ("_epoch_ns", "_time")

    def __init__(self) -> None:
        self._time: Callable[[], float] | None = None
        self._epoch_ns = 0

    def now_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC."""
        if self._time is None:
            self._time = asyncio.get_running_loop().time
            self._epoch_ns = time.time_ns() - round(self._time() * 1e9)
        return self._epoch_ns + round(self._time() * 1e9)

    async def sleep(self, ns: int) -> None:
        """Sleep on the loop."""
        await asyncio.sleep(ns * 1e-9)


class SystemClock:
    """The system's monotonic clock plus an epoch taken once, for a real server.

    Finer than a loop's time, which some loops read once per turn: a queue within a turn would not be seen.
    """

    __slots__ = ("_epoch_ns",)

    def __init__(self) -> None:
        self._epoch_ns = time.time_ns() - time.monotonic_ns()

    def now_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC."""
        return self._epoch_ns + time.monotonic_ns()

    async def sleep(self, ns: int) -> None:
        """Sleep on the loop."""
        await asyncio.sleep(ns * 1e-9)

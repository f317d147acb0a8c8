"""A virtual CPU: k servers, first come first served, charged inside the app's first ``await receive()``.

The app is entered on arrival and waits *inside*, so that its limiter and its deadline see the queue. With
declared deterministic service times this is M/D/k under Poisson arrivals; tests hold it against the formulas.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any

from simulator.drivers.virtual.loop import VirtualLoop


class VirtualCpu:
    """Assigns work to the core that is free first. Times in nanoseconds."""

    def __init__(self, loop: VirtualLoop, cores: int) -> None:
        self._loop = loop
        self._free_at = [0] * cores

    def finish_ns(self, service_ns: int) -> int:
        """Queue `service_ns` of work now; the instant at which it will be done."""
        free_at, now_ns = self._free_at, self._loop.now_ns
        finish = (now_ns if now_ns > free_at[0] else free_at[0]) + service_ns  # noqa: FURB136 - max() costs a call
        heapq.heapreplace(free_at, finish)
        return finish


class Wait:
    """An awaitable that resumes its task at a given instant: what asyncio.sleep does, at a third of the cost.

    Speaks the small protocol that asyncio tasks expect of a future.
    """

    __slots__ = ("_asyncio_future_blocking", "_cancelled", "_context", "_loop", "_wake")

    def __init__(self, loop: VirtualLoop, until_ns: int) -> None:
        self._asyncio_future_blocking = False
        self._loop = loop
        self._wake: Callable[[Any], object] | None = None
        self._context: Context | None = None
        self._cancelled = False
        loop.post(until_ns, _fire, self)

    def __await__(self) -> Generator[Any, None, None]:
        self._asyncio_future_blocking = True
        yield self
        if self._cancelled:
            raise asyncio.CancelledError

    def get_loop(self) -> VirtualLoop:
        """The loop that the waiting task must belong to."""
        return self._loop

    def add_done_callback(self, wake: Callable[[Any], object], *, context: Context | None = None) -> None:
        """Called by the waiting task."""
        self._wake, self._context = wake, context

    def result(self) -> None:
        """Called by the waiting task when it wakes."""

    def cancel(self, msg: str | None = None) -> bool:
        """Called when the waiting task is cancelled: wake it at once."""
        del msg
        if self._cancelled or self._wake is None:
            return False
        self._cancelled = True
        wake, self._wake = self._wake, None
        self._loop.call_soon(wake, self, context=self._context)
        return True


def _fire(wait: Wait) -> None:
    wake, wait._wake = wait._wake, None  # noqa: SLF001 - the other half of Wait, kept plain for speed
    if wake is not None:
        wait._context.run(wake, wait)  # type: ignore[union-attr]  # noqa: SLF001 - set together with the callback

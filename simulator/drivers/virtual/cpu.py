"""A virtual CPU: k servers, first come first served, charged inside the app's first ``await receive()``.

The app is entered on arrival and waits *inside*, so that its limiter and its deadline see the queue. With
declared deterministic service times this is M/D/k under Poisson arrivals; tests hold it against the formulas.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any, Final

from simulator.drivers.virtual.loop import VirtualLoop
from simulator.scenario.quantities import NS

_PERIOD: Final = 100 * NS["ms"]  # of a quota, as in real time


class VirtualCpu:
    """Assigns work to the core that is free first. Times in nanoseconds."""

    def __init__(self, loop: VirtualLoop, cores: int) -> None:
        self._loop = loop
        self._free_at = [0] * cores
        self.used_ns = 0  # work taken on so far
        self.quota: Quota | None = None
        self.pauses: list[int] = []  # how long each lasts; what waited when it began is done so much later

    def finish_ns(self, service_ns: int) -> int:
        """Queue `service_ns` of work now; the instant at which it will be done."""
        self.used_ns += service_ns
        free_at, now_ns = self._free_at, self._loop.now_ns
        start = now_ns if now_ns > free_at[0] else free_at[0]  # noqa: FURB136 - max() costs a call
        finish = start + service_ns if self.quota is None else self.quota.finish_ns(start, service_ns)
        heapq.heapreplace(free_at, finish)
        return finish

    def pause(self, length_ns: int) -> None:
        """From now on nothing is done for so long."""
        now_ns = self._loop.now_ns
        self._free_at = [max(free_ns, now_ns) + length_ns for free_ns in self._free_at]  # still a heap
        self.pauses.append(length_ns)


class Quota:
    """All cores together work at most `cores` seconds a second, in periods: its share spent, they wait for the next.

    From `since_ns` to `until_ns`, by the law of `simulator.drivers.hold`. `throttled` are the periods in which it was.
    """

    def __init__(self, since_ns: int, until_ns: int, cores: float) -> None:
        self._since, self._until, self._share = since_ns, until_ns, round(cores * _PERIOD)
        self._spent: Counter[int] = Counter()
        self.periods = (until_ns - since_ns) // _PERIOD
        self.throttled: set[int] = set()

    def finish_ns(self, at_ns: int, service_ns: int) -> int:
        """When so much work is done that starts at that instant."""
        while self._since <= at_ns < self._until:
            period = (at_ns - self._since) // _PERIOD
            end_ns = self._since + (period + 1) * _PERIOD
            worked = min(service_ns, self._share - self._spent[period], end_ns - at_ns)
            self._spent[period] += worked
            at_ns, service_ns = at_ns + worked, service_ns - worked
            if not service_ns:
                return at_ns
            if at_ns < end_ns:
                self.throttled.add(period)
                at_ns = end_ns
        return at_ns + service_ns


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

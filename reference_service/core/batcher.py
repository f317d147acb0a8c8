"""Rows of concurrent requests, answered by one call where that is sooner for them; each caller gets its own answer.

One call is under way at a time, since a model that is worth it is one process. What comes meanwhile waits. How many go
next, and whether they wait for more, is `CallCost`'s to say, from calls as they were measured: where waiting loses,
rows go one by one and at once.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from reference_service.clock import SECOND, Clock
from reference_service.core.call_cost import CallCost

Margins = Sequence[float]
Ask = Callable[[np.ndarray], Margins | Awaitable[Margins]]
_MEMORY: Final = 32  # arrivals that make the mean gap
_SILENCE_NS: Final = SECOND  # a longer gap says no more: nobody is coming


class Full(Exception):  # noqa: N818  # says what is the case
    """So many rows wait already that another one is not taken."""


class Refused(Exception):  # noqa: N818  # an outcome, not a programming error
    """The model cannot answer this row; its neighbours have been asked about without it."""


class Waiting(NamedTuple):
    """A row, and who waits for its margin."""

    values: np.ndarray
    answer: asyncio.Future[float]


class Batcher:
    """A call about one row, in front of one about many.

    Args:
        ask: margins of float64[n, f], or an awaitable of them. An OSError (TimeoutError and ConnectionError are such)
            says that the model was not reached, and holds for all rows of the call; anything else it raises is about
            some row, and the rows are asked about in halves until it is found.
        clock: costs, gaps and waits are measured by it.
        rows: of one call, at most.
        backlog: rows that may wait.
        cost: what is known of the cost of a call beforehand.
    """

    __slots__ = ("_ask", "_backlog", "_clock", "_draining", "_gap_ns", "_last_ns", "_queue", "_rows", "calls", "cost")

    def __init__(self, ask: Ask, clock: Clock, *, rows: int, backlog: int, cost: CallCost) -> None:
        self._ask = ask
        self._clock = clock
        self._rows = rows
        self._backlog = backlog
        self._queue: deque[Waiting] = deque()
        self._draining: asyncio.Task[None] | None = None
        self._gap_ns = float(_SILENCE_NS)
        self._last_ns = 0
        self.cost = cost
        self.calls = 0

    def __call__(self, values: np.ndarray) -> asyncio.Future[float]:
        """The margin of float64[f], to be awaited; who cancels it leaves the queue. Raises Full."""
        if len(self._queue) >= self._backlog:
            self._queue = deque(each for each in self._queue if not each.answer.done())
            if len(self._queue) >= self._backlog:
                raise Full
        now_ns = self._clock.now_ns()
        self._gap_ns += (min(now_ns - self._last_ns, _SILENCE_NS) - self._gap_ns) / _MEMORY
        self._last_ns = now_ns
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[float] = loop.create_future()
        # A copy: callers write their next row where this one stood.
        self._queue.append(Waiting(values.copy(), answer))
        if self._draining is None or self._draining.done():
            self._draining = loop.create_task(self._drain())
        return answer

    async def _drain(self) -> None:
        await asyncio.sleep(0)  # the rows of one request come in one turn of the loop
        while self._queue:
            wait_ns = self.cost.wait_ns(len(self._queue), self._gap_ns) if len(self._queue) < self._rows else 0
            if wait_ns:
                await self._clock.sleep(wait_ns)
            batch = self._take()
            if batch:
                await self._answer(batch)

    def _take(self) -> list[Waiting]:
        """The next rows to ask about, oldest first, without those that nobody waits for."""
        queue, batch = self._queue, list[Waiting]()
        wanted = min(self._rows, self.cost.together(len(queue)))
        while queue and len(batch) < wanted:
            first = queue.popleft()
            if not first.answer.done():
                batch.append(first)
        return batch

    async def _answer(self, batch: list[Waiting]) -> None:
        """Ask about the rows; in halves, should the model fail on them: 2n - 1 calls at the worst."""
        parts = [batch]
        while parts:
            part = [each for each in parts.pop() if not each.answer.done()]
            if not part:
                continue
            began_ns = self._clock.now_ns()
            try:
                margins = await self._margins(part)
            except OSError as error:
                for each in part:
                    _settle(each.answer, error)
            except Exception as error:  # noqa: BLE001  # whatever a model raises is about its rows
                if len(part) == 1:
                    _settle(part[0].answer, Refused(type(error).__name__))
                    continue
                middle = len(part) // 2
                parts += [part[middle:], part[:middle]]
            else:
                self.cost.add(len(part), self._clock.now_ns() - began_ns)
                for each, margin in zip(part, margins, strict=True):
                    _settle(each.answer, margin)

    async def _margins(self, part: Sequence[Waiting]) -> Margins:
        self.calls += 1
        margins: Any = self._ask(np.stack([each.values for each in part]))
        if inspect.isawaitable(margins):
            margins = await margins
        if len(margins) != len(part):
            raise ValueError("another number of margins than of rows")
        found: Margins = margins
        return found


def _settle(answer: asyncio.Future[float], outcome: float | Exception) -> None:
    if answer.done():  # the caller has left while the model was thinking
        return
    if isinstance(outcome, Exception):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)

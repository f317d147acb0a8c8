"""A foreign model, life after life: killed when it is late, started again after a pause."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Protocol, TypeVar

import numpy as np

from reference_service.clock import SECOND, Clock

T = TypeVar("T")
_LIVED_NS: Final = 10 * SECOND  # one that is lost earlier is waited longer for
_log: Final = logging.getLogger("reference_service")


class Life(Protocol):
    """A process that answers; see `process.Process`."""

    def ask(self, values: np.ndarray) -> Coroutine[Any, Any, list[float]]:
        """Margins of float64[n, f]. Raises ValueError about rows, anything else about itself."""

    def kill(self) -> None:
        """End it."""


class Foreign:
    """See above. While there is no process, it raises at once: waiting for it is not for callers with a deadline.

    Args:
        name: for the log.
        life: the first one.
        again: begins another. Raises OSError.
        clock: deadlines and pauses are by it.
        ask_ns: a question that takes longer is taken to hang.
        pause_ns: before it is started again; doubled while lives are short …
        pause_most_ns: … up to this.
    """

    __slots__ = ("_again", "_ask_ns", "_born_ns", "_clock", "_first_ns", "_life", "_most_ns", "_name", "_pause_ns",
                 "_returning", "lost")  # fmt: skip

    def __init__(
        self,
        name: str,
        life: Life,
        again: Callable[[], Awaitable[Life]],
        clock: Clock,
        *,
        ask_ns: int,
        pause_ns: int,
        pause_most_ns: int,
    ) -> None:
        self._name = name
        self._life: Life | None = life
        self._again = again
        self._clock = clock
        self._ask_ns = ask_ns
        self._first_ns = self._pause_ns = pause_ns
        self._most_ns = pause_most_ns
        self._born_ns = clock.now_ns()
        self._returning: asyncio.Task[None] | None = None
        self.lost = 0  # processes

    async def ask(self, values: np.ndarray) -> list[float]:
        """Margins of float64[n, f]. One question at a time.

        Raises:
            ValueError: the model raised for these rows.
            TimeoutError: it did not answer in time, and has been killed.
            ConnectionError: there is no process now.
        """
        life = self._life
        if life is None:
            raise ConnectionError("the model is being started again")
        try:
            return await _in_time(life.ask(values), self._clock, self._ask_ns)
        except ValueError:
            raise
        except BaseException as error:
            # Whatever has been said since is not an answer to the next question.
            self._lose(life, error)
            raise

    def close(self) -> None:
        """End it for good."""
        if self._returning is not None:
            self._returning.cancel()
        if self._life is not None:
            self._life.kill()
            self._life = None

    def _lose(self, life: Life, error: BaseException) -> None:
        if life is not self._life:  # closed meanwhile
            return
        self._life = None
        life.kill()
        self.lost += 1
        short = self._clock.now_ns() - self._born_ns < _LIVED_NS
        if not short:
            self._pause_ns = self._first_ns
        _log.error("the model %s is lost (%s) and is started again", self._name, type(error).__name__)
        self._returning = asyncio.get_running_loop().create_task(self._return())

    async def _return(self) -> None:
        while self._life is None:
            await self._clock.sleep(self._pause_ns)
            self._pause_ns = min(2 * self._pause_ns, self._most_ns)
            try:
                self._life = await self._again()
            except OSError as error:
                _log.error("the model %s does not start: %s", self._name, error)
        self._born_ns = self._clock.now_ns()


async def _in_time(work: Coroutine[Any, Any, T], clock: Clock, ns: int) -> T:
    """What `work` gives, unless it takes longer: TimeoutError."""
    loop = asyncio.get_running_loop()
    working, alarm = loop.create_task(work), loop.create_task(clock.sleep(ns))
    try:
        await asyncio.wait((working, alarm), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise TimeoutError
        return working.result()
    finally:
        working.cancel()
        alarm.cancel()

"""A version in the shadow: asked after the reply is out, about copies of what was asked, and heard by nobody.

It cannot delay, alter or fail a reply: `offer` appends to a bounded queue and returns; the work is done by a task of
its own, behind a guard of its own. What the queue has no room for is left out, and counted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from reference_service.guards.dependency import Unavailable
from reference_service.policy import Policy
from reference_service.release.registry import Loaded

_QUEUE: Final = 1024  # rows; at 10 % of a core for the shadow this is under a second of a busy service


class Tally(msgspec.Struct, frozen=True):
    """How a shadow compared, in rows; `gap` is the sum of the absolute differences of the scores."""

    seen: int = 0  # that it scored
    failed: int = 0  # that it gave no usable answer to
    dropped: int = 0
    differing: int = 0  # whose decision would have been another one
    gap: float = 0.0


def together(tallies: Iterable[Tally]) -> Tally:
    """The tallies of several processes as one."""
    fields = list(zip(*map(msgspec.structs.astuple, tallies), strict=True))
    return Tally(*map(sum, fields))


class Shadow:
    """Scores again what the champion scored, and counts how the two compare.

    Args:
        loaded: the shadow's version.
        policy: its deadline is the replies' own.
    """

    __slots__ = (
        "_deadline_ns", "_elsewhere", "_loaded", "_queue", "_task", "differing", "dropped", "failed", "gap", "seen",
    )  # fmt: skip

    def __init__(self, loaded: Loaded, policy: Policy) -> None:
        self._loaded = loaded
        self._deadline_ns = policy.deadline_ns
        self._queue: deque[tuple[Sequence[float], float]] = deque()
        self._task: asyncio.Task[None] | None = None
        self.seen = self.failed = self.dropped = self.differing = 0  # as in `Tally`
        self.gap = 0.0
        self._elsewhere = Tally()  # by other processes

    def offer(self, values: Sequence[float], score: float) -> None:
        """Remember a row, in contract order, and the champion's score of it. Takes no time that a caller waits for."""
        if len(self._queue) >= _QUEUE:
            self.dropped += 1
            return
        self._queue.append((values, score))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._drain())

    def stop(self) -> None:
        """Leave what is still to be done."""
        self._queue.clear()
        if self._task is not None:
            self._task.cancel()

    def told(self) -> Tally:
        """What was counted here."""
        return Tally(self.seen, self.failed, self.dropped, self.differing, self.gap)

    def hear(self, others: Iterable[Tally]) -> None:
        """What other processes have counted until now."""
        self._elsewhere = together(others)

    def view(self) -> dict[str, Any]:
        """For operators: by all processes."""
        known = together((self.told(), self._elsewhere))
        return {
            "seen": known.seen,
            "failed": known.failed,
            "dropped": known.dropped,
            "differing": known.differing,
            "mean_gap": round(known.gap / known.seen, 6) if known.seen else 0.0,
        }

    async def _drain(self) -> None:
        while self._queue:
            # Whoever is being answered goes first.
            await asyncio.sleep(0)
            values, score = self._queue.popleft()
            margin = await self._ask(values)
            if isinstance(margin, Unavailable):
                self.failed += 1
                continue
            own = self._loaded.bundle.probability(float(margin))
            self.seen += 1
            self.gap += abs(own - score)
            self.differing += self._loaded.policy.decide(own) != self._loaded.policy.decide(score)

    async def _ask(self, values: Sequence[float]) -> Any:
        loaded, model = self._loaded, self._loaded.model
        now_ns = model.clock.now_ns()
        call = (loaded.version, np.array(values, dtype=np.float64))
        answer = model.start(now_ns, *call)
        if type(answer) is float or isinstance(answer, Unavailable):
            return answer
        return await model.finish(answer, now_ns, now_ns + self._deadline_ns, *call)

"""People who look at the service's queue of reviews, and say of each case what is true of it."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from simulator.drivers.virtual.scene import Scene

_OK: Final = range(200, 300)
_ALL: Final = 1_000_000  # cases asked for at a time: whatever waits


class _Case(msgspec.Struct):
    id: str
    row: int = 0


class _Queue(msgspec.Struct):
    waiting: list[_Case]


class _Standing(msgspec.Struct):
    decision: str


class Reviewers:
    """Notes of one run: `queue` for each reading, `review` for each case, `stands` in the end.

    Args:
        scene: shared with the other parts of the run.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._given = scene.spec.scenario.given.reviewers
        self._target = scene.spec.target.reviews
        self._told: dict[tuple[str, int], str] = {}  # cases that were shown, and the verdict

    def start(self) -> None:
        """Look for the first time when it is due."""
        if self._given is not None and self._target is not None:
            self.scene.loop.post(self._given.every, self._look, None)

    def _look(self, _: Any) -> None:
        loop, every = self.scene.loop, self._given.every if self._given else 0
        loop.start_now(self._review())
        if loop.now_ns + every < self.scene.end_ns:
            loop.post(loop.now_ns + every, self._look, None)

    async def _review(self) -> None:
        """Read the queue, say a verdict about whatever is new, and set down whether it was taken."""
        scene, target = self.scene, self._target
        if target is None:
            return
        status, body = await scene.life.call("GET", f"{target.queue}?limit={_ALL}", token=scene.token)
        try:
            waiting = msgspec.json.decode(body, type=_Queue).waiting if status in _OK else None
        except msgspec.DecodeError:
            waiting = None
        if waiting is None:
            scene.note("queue", why=f"{target.queue} answered {status}")
            return
        cases = list(dict.fromkeys((case.id, case.row) for case in waiting))
        fresh = [case for case in cases if case not in self._told]
        said = [self._verdict(*case) for case in fresh]
        self._told.update(zip(fresh, said, strict=True))
        verdicts = [
            {"id": name, "row": row, "verdict": verdict, "by": "a person"}
            for (name, row), verdict in zip(fresh, said, strict=True)
        ]
        taken = 0
        if verdicts:
            told = msgspec.json.encode({"verdicts": verdicts})
            taken, _ = await scene.life.call("POST", target.queue, told, scene.token)
        for (name, row), verdict in zip(fresh, said, strict=True):
            scene.note("review", id=name, row=row, verdict=verdict, taken=taken in _OK)
        scene.note("queue", why="")

    def _verdict(self, name: str, row: int) -> str:
        """What is true of it; whoever asks about something that nobody sent is told no."""
        truths = (self.scene.recorder.truths or {}).get(name, ())
        positive = truths[row] > 0 if row < len(truths) else True
        target = self._target
        return "" if target is None else target.block if positive else target.approve

    async def last_words(self) -> None:
        """Ask what stands for every case, when all is over."""
        scene, target = self.scene, self._target
        if target is None:
            return
        for name, row in self._told:
            path = f"{target.stands}?{urlencode({'id': name, 'row': row})}"
            status, body = await scene.life.call("GET", path, token=scene.token)
            try:
                decision = msgspec.json.decode(body, type=_Standing).decision if status in _OK else ""
            except msgspec.DecodeError:
                decision = ""
            scene.note("stands", id=name, row=row, decision=decision)

"""Sets a service's retraining going through its control plane, and reads in its journal what becomes of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final

import msgspec

from simulator.drivers.operators import accepted, lacking
from simulator.drivers.receipts import ServiceReceipt
from simulator.history.schema import NEVER
from simulator.scenario.quantities import SECOND
from simulator.scenario.verbs import Event
from simulator.targets.model import Target

LOOK_NS: Final = 10 * SECOND
BEGUN: Final = "begun"
ENDS: Final = frozenset({"live", "back", "refused"})
_NONE_YET: Final = 404


class _Step(msgspec.Struct):
    at_ns: int
    step: str
    why: str = ""


class _Journal(msgspec.Struct):
    version: str
    steps: list[_Step]


class Retraining:
    """One event's.

    Args:
        event: a `retrain`.
        target: whose file says where to ask.
        call: ``METHOD /path`` and a body → (status, body), with the control plane's token.
        now: nanoseconds since the start of the run.
        wait: until that moment of the run.
        note: takes a step's data.
        asked: how often the version was asked at the seam `model` so far; -1 if there is no such seam.
        epoch_ns: the run's start by the service's clock.
    """

    def __init__(
        self,
        event: Event,
        target: Target,
        *,
        call: Callable[[str, bytes], Awaitable[tuple[int, bytes]]],
        now: Callable[[], int],
        wait: Callable[[int], Awaitable[None]],
        note: Callable[..., None],
        asked: Callable[[], int],
        epoch_ns: int,
    ) -> None:
        self._event, self._target, self._call = event, target, call
        self._now, self._wait, self._note, self._asked = now, wait, note, asked
        self._epoch_ns = epoch_ns
        self._before: list[_Step] = []  # steps that the journal had before anything was asked for: of an earlier run
        self._known = 0  # steps since, that are on record
        self._last_ns = 0  # when it was read before
        self._last_asked = -1  # and how often the version had been asked by then
        self.met = False  # whether the version may have got as far as answering somebody
        self.receipt = ServiceReceipt(NEVER, 1, 0, 0, detail="it never began")

    async def go(self, end_ns: int) -> None:
        """Ask for it, then look every ten seconds until it has come to an end, or until `end_ns`.

        A service that lives longer than a run may know this version from an earlier one; that is no part of this one.
        """
        admin, journal = self._target.admin.retrain, self._target.retraining
        if admin is None or journal is None:
            self.receipt = lacking("admin.retrain" if admin is None else "retraining")
            return
        wanted = {"version": self._event.params.version, "on": self._event.params.on}
        status, body = await self._call(f"GET {journal}", b"")
        if not accepted(status) and status != _NONE_YET:
            self.receipt = replace(self.receipt, detail=f"its journal answered {status} before anything was asked for")
            return
        self._before = self._read(body) or []
        self._last_ns, self._last_asked = self._now(), self._asked()
        status, _ = await self._call(admin, msgspec.json.encode(wanted))
        if not accepted(status):
            self.receipt = replace(self.receipt, detail=f"status {status}")
            return
        while True:
            # The last look is at the end of the run: what was begun by then is on record.
            at = self._now()
            status, body = await self._call(f"GET {journal}", b"")
            if self._ended(status, body, at) or at >= end_ns:
                return
            await self._wait(min(at + LOOK_NS, end_ns))

    def _read(self, body: bytes) -> list[_Step] | None:
        """The steps of this version, None if it is not told of."""
        try:
            found = msgspec.json.decode(body, type=_Journal)
        except msgspec.DecodeError:
            return None
        return found.steps if found.version == self._event.params.version else None

    def _ended(self, status: int, body: bytes, at_ns: int) -> bool:
        steps = self._read(body)
        if steps is None:
            self.receipt = replace(self.receipt, detail=f"its journal answered {status}, and tells nothing of it")
            return False
        if self._before and steps[: len(self._before)] == self._before:  # it goes on below what it knew
            steps = steps[len(self._before) :]
        for step in steps[self._known :]:
            self._take(step)
        self._known, self._last_ns, self._last_asked = len(steps), at_ns, self._asked()
        return bool(steps) and steps[-1].step in ENDS

    def _take(self, step: _Step) -> None:
        said_ns = step.at_ns - self._epoch_ns
        data: dict[str, Any] = {"version": self._event.params.version, "step": step.step, "why": step.why}
        self._note(**data, said_ns=said_ns, last_ns=self._last_ns, asked=self._last_asked)
        self.met |= step.step in {"canary", "live"}
        if step.step == BEGUN:
            self.receipt = replace(self.receipt, at_ns=said_ns, delivered=1, detail=step.why)
        elif self.receipt.delivered:
            self.receipt = replace(self.receipt, potent=1)


__all__ = ["LOOK_NS", "Retraining"]

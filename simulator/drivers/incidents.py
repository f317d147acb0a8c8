"""What befalls a service in real time: releases, operators, faults of its dependencies and processes; and healing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from simulator.drivers.dependencies import Dependencies
from simulator.drivers.operators import accepted, action_of, answered, lacking
from simulator.drivers.process_faults import ProcessFaults
from simulator.drivers.receipts import ServiceReceipt
from simulator.drivers.record import Recorder
from simulator.drivers.retraining import Retraining
from simulator.drivers.spec import RunSpec
from simulator.drivers.start import Service
from simulator.history.schema import NEVER
from simulator.scenario.quantities import SECOND
from simulator.scenario.verbs import PROCESS, Event

_NOTHING_TO_TAKE_BACK: Final = 409  # the service rolled back by itself, or keeps what was released for good
_REFUSED: Final = range(400, 500)


@dataclass(frozen=True, slots=True)
class Scene:
    """What an incident has to do with."""

    spec: RunSpec
    end_ns: int
    recorder: Recorder
    now: Callable[[], int]
    until: Callable[[int], Awaitable[None]]
    call: Callable[[str, str, bytes], Awaitable[tuple[int, bytes]]]  # of the control plane: method, path, body
    sending: Callable[[], bool]  # the steady state holds
    dependencies: Dependencies
    service: Service


class Incidents:
    """Makes them happen, and keeps a receipt of each in `receipts`."""

    def __init__(self, scene: Scene, receipts: dict[str, ServiceReceipt]) -> None:
        self.scene, self.receipts = scene, receipts
        self._processes = ProcessFaults(scene.service, scene.now, scene.until, receipts)
        self._releasing = False  # a version was released and has to be taken back
        self._moved = False  # an operator put another version in the place of what served
        self._retrainings: list[Retraining] = []
        self._serving = scene.spec.scenario.given.serving

    async def begin(self, k: int, event: Event) -> None:
        """One event, by its place in the scenario, from its moment on."""
        await self.scene.until(event.at)
        if not self.scene.sending():
            self.receipts[event.event] = ServiceReceipt(NEVER, 1, 0, 0, detail="not injected: steady state not met")
        elif event.operator is not None:
            await self._operate(event)
        elif event.dependency is not None:
            await self._break(event)
        elif event.retrain is not None:
            await self._retrain(k, event)
        elif event.verb in PROCESS:
            did = await self._processes.befall(event, self._over(event))
            self.scene.recorder.note(self.scene.now(), "action", what=did, status=0, body="")
        else:
            await self._release(k, event)

    def _over(self, event: Event) -> int:
        return self.scene.end_ns if event.length is None else min(self.scene.end_ns, event.at + event.length)

    async def _release(self, k: int, event: Event) -> None:
        release, target = event.release, self.scene.spec.target
        # A bundle that the service does not read is not damaged: to blame it for serving a sound one would be a lie.
        offered = release is not None and (release.bundle != "damaged" or target.reads_bundles("live"))
        reachable = release is not None and release.defect is None and release.by != "shadow" and offered
        if release is None or not reachable or target.admin.release is None:
            detail = "a live target's models are out of the harness' reach"
            self.receipts[event.event] = ServiceReceipt(NEVER, 1, 0, 0, supported=False, detail=detail)
            return
        body = msgspec.json.encode({"version": release.version, "by": release.by, "share": release.share})
        # What the version answers before we hear that it was accepted is touched, too: else it would be a bystander.
        self.scene.recorder.released(release.version, 1 << k)
        before, self._releasing = self._releasing, True  # also if we are interrupted before we hear of it
        status = await self._act(event, f"release {release.version}", target.admin.release, body)
        self._releasing = before or accepted(status) or not status  # who does not answer may have done it
        if not accepted(status):
            self.scene.recorder.released(release.version, 0)

    async def _retrain(self, k: int, event: Event) -> None:
        scene = self.scene

        async def call(action: str, body: bytes) -> tuple[int, bytes]:
            method, _, path = action.partition(" ")
            return await scene.call(method, path, body)

        scene.recorder.released(event.params.version, 1 << k)
        # Nobody stands before a live service's model: whether its shadow was asked is for its journal to say.
        retraining = Retraining(
            event, scene.spec.target, call=call, now=scene.now, wait=scene.until, asked=lambda: -1,
            note=lambda **data: scene.recorder.note(scene.now(), "retraining", **data),
            epoch_ns=time.time_ns() - scene.now(),
        )  # fmt: skip
        self._retrainings.append(retraining)
        try:
            await retraining.go(scene.end_ns - SECOND)
        finally:
            self.receipts[event.event] = retraining.receipt

    async def _operate(self, event: Event) -> None:
        action, body = action_of(event, self.scene.spec.target.admin)
        if action is None:
            self.receipts[event.event] = lacking(f"admin.{event.params.does}")
            return
        status = await self._act(event, event.params.does, action, body)
        elsewhere = event.params.does == "rollback" and event.params.version not in {None, self._serving}
        self._moved |= accepted(status) and elsewhere

    async def _act(self, event: Event, what: str, action: str, body: bytes) -> int:
        """Ask the control plane for it; the status."""
        method, _, path = action.partition(" ")
        status, answer = await self.scene.call(method, path, body)
        self.receipts[event.event] = answered(event, status, self.scene.spec.scenario, self.scene.now())
        said = answer.decode("utf-8", "replace")
        self.scene.recorder.note(self.scene.now(), "action", what=what, status=status, body=said)
        return status

    async def _break(self, event: Event) -> None:
        why = await self.scene.dependencies.break_with(event)
        if why is not None:
            self.receipts[event.event] = ServiceReceipt(NEVER, 1, 0, 0, supported=False, detail=why)
            return
        since = self.scene.now()
        self.receipts[event.event] = ServiceReceipt(NEVER, 1, 0, 0, detail="the run ended before its count was read")
        await self.scene.until(self._over(event))
        self.receipts[event.event] = await self.scene.dependencies.heal(event, since)
        if (units := self.scene.dependencies.counted.get(event.event)) is not None:
            self.scene.recorder.note(self.scene.now(), "counted", event=event.event, units=units)

    async def heal(self) -> None:
        """Take back what outlives its request, look, and leave a note."""
        # Only what changes who serves outlives its request, and it would be there in the twin, too.
        healed, why = True, "nothing was broken that outlives its request"
        target = self.scene.spec.target
        action = target.admin.rollback
        releasing = self._releasing or any(retraining.met for retraining in self._retrainings)
        if (releasing or self._moved) and target.start.command:
            why = "the service that was started for this run ends with it"
        elif (releasing or self._moved) and action is None:
            healed, why = False, "another version was put to serve, and the target file has no admin.rollback"
        elif (releasing or self._moved) and action is not None:
            healed, why = await self._back(action, releasing=releasing)
        for broken in await asyncio.gather(self.scene.dependencies.whole(), self._processes.whole()):
            if broken is not None:
                healed, why = False, broken
        self.scene.recorder.note(self.scene.now(), "heal", healed=healed, why=why)

    async def _back(self, action: str, *, releasing: bool) -> tuple[bool, str]:
        """Take back what was released, or, where nothing can be, ask by its name for what served before."""
        method, _, path = action.partition(" ")
        status, why = _NOTHING_TO_TAKE_BACK, "an operator put another version in its place"
        if releasing:
            status, _ = await self.scene.call(method, path, b"")
            why = f"{path} answered {status}"
        healed = accepted(status)
        if self._moved or status == _NOTHING_TO_TAKE_BACK:
            # Rolled back by itself, or settled by now and there to stay: then only its name leads back. Who has never
            # been asked so may not know how, and has said that there is nothing to take back.
            named, _ = await self.scene.call(method, path, msgspec.json.encode({"to": self._serving}))
            why += f"; asked for {self._serving}, {named}"
            healed = accepted(named) or (named in _REFUSED and not self._moved)
        return healed, why

"""Events that befall the service itself: faults of its dependencies, restarts, its clock, releases, operators."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial

import msgspec

from simulator.drivers.operators import accepted, action_of, answered, lacking
from simulator.drivers.receipts import ServiceReceipt
from simulator.drivers.retraining import Retraining
from simulator.drivers.virtual.clients import Clients
from simulator.drivers.virtual.clocks import EPOCH_NS
from simulator.drivers.virtual.cpu import Quota, Wait
from simulator.drivers.virtual.scene import Scene
from simulator.history.schema import NEVER, Outcome
from simulator.scenario.quantities import SECOND
from simulator.scenario.verbs import Event
from simulator.targets.seams import Fault, Seam


def _broken(event: Event) -> str:
    """Of which dependency a fault is."""
    return str(event.dependency.name) if event.dependency else "model"


class Incidents:
    """Makes them happen, and keeps a receipt of each.

    Args:
        scene: shared with the other parts of the run.
        clients: who lose their connections where the service is killed.
    """

    def __init__(self, scene: Scene, clients: Clients) -> None:
        self.scene = scene
        self.clients = clients
        self._receipts: dict[str, ServiceReceipt] = {}
        self._before: dict[str, int] = {}  # calls of the dependency when its fault began, and when it ended
        self._after: dict[str, int] = {}
        self._struck: dict[str, tuple[Seam, int]] = {}  # whose count it is until its fault is over, and from where on
        self._quotas: dict[str, Quota] = {}
        self._retrainings: dict[str, Retraining] = {}

    def begin(self, named: tuple[int, Event]) -> None:
        """One event, by its place in the scenario."""
        k, event = named
        if not self.scene.sending:
            self._receipts[event.event] = ServiceReceipt(NEVER, 1, 0, 0, detail="not injected: steady state not met")
        elif event.release is not None:
            self.scene.loop.start_now(self._release(k, event))
        elif event.operator is not None:
            self.scene.loop.start_now(self._operate(event))
        elif event.retrain is not None:
            self.scene.loop.start_now(self._retrain(k, event))
        elif event.restart is not None:
            self._end_life(event)
        elif event.verb in {"pause", "cpu"}:
            self._starve(event)
        elif event.clock_step is not None:
            self._set_clock(event)
        else:
            name, params = _broken(event), event.params
            if name not in self.scene.seams:
                detail = f"the target file names no seam {name!r}"
                self._receipts[event.event] = ServiceReceipt(NEVER, 1, 0, 0, supported=False, detail=detail)
                return
            seam = self.scene.seams[name]
            self._before[event.event] = seam.calls
            self._struck[event.event] = seam, seam.struck
            seam.break_with(Fault(event.event, params.fault, params.by or 0, params.share))
            self._receipts[event.event] = ServiceReceipt(self.scene.loop.now_ns, 1, 0, 0)
            if event.length is not None:
                self.scene.loop.post(event.at + event.length, self._mend, (event.event, seam))

    def _mend(self, named: tuple[str, Seam]) -> None:
        event, seam = named
        self._after[event] = seam.calls
        seam.heal()
        self._count(event)

    def _count(self, event: str) -> None:
        if event in self._struck:
            seam, before = self._struck.pop(event)
            self.scene.note("counted", event=event, units=seam.struck - before)

    def count(self) -> None:
        """Put on record what the seams counted of each fault that lasts until now."""
        for event in tuple(self._struck):
            self._count(event)

    def _starve(self, event: Event) -> None:
        """The virtual CPU stands still, or gives so much and no more. What the service does without CPU goes on."""
        cpu, now_ns = self.clients.client.cpu, self.scene.loop.now_ns
        until_ns = self.scene.end_ns if event.length is None else event.at + event.length
        if cpu is None:
            why = "the target file gives no `service_time`, so there is no CPU to take away"
            self._receipts[event.event] = ServiceReceipt(NEVER, 1, 0, 0, supported=False, detail=why)
            return
        self._receipts[event.event] = ServiceReceipt(now_ns, 1, 1, 1)
        if event.cpu is not None:
            cpu.quota = self._quotas[event.event] = Quota(now_ns, until_ns, event.cpu.cores)
        else:
            cpu.pause(until_ns - now_ns)
            self.scene.life.paused = True
            self.scene.loop.post(until_ns, self._go_on, None)

    def _go_on(self, _: None) -> None:
        self.scene.life.paused = False

    def _set_clock(self, event: Event) -> None:
        """Change the time of day; it counts as done if whoever reads it here reads another one."""
        loop, step = self.scene.loop, event.params.by * (1 if event.params.way == "forward" else -1)
        read = time.time_ns()
        loop.wall_ahead_ns += step
        if time.time_ns() - read != step:
            loop.wall_ahead_ns -= step
            detail = "the service takes its time from the harness; `clock: patched` in the target file gives it its own"
            self._receipts[event.event] = ServiceReceipt(NEVER, 1, 0, 0, supported=False, detail=detail)
            return
        self._receipts[event.event] = ServiceReceipt(loop.now_ns, 1, 1, 1)

        def set_right(_: None) -> None:
            loop.wall_ahead_ns -= step

        if event.length is not None:
            loop.post(event.at + event.length, set_right, None)

    def _end_life(self, event: Event) -> None:
        """Stop the service, or kill it; whoever waits for an answer then loses the connection."""
        assert event.length is not None  # noqa: S101 - refused when the scenario is read
        self._receipts[event.event] = ServiceReceipt(self.scene.loop.now_ns, 1, 0, 0, detail="it never started again")
        back = event.at + event.length
        if event.params.how == "stop":
            self.scene.loop.start_now(self._stop(event, back))
            return
        for exchange in self.clients.outstanding:
            exchange.lose(Outcome.RESET)
        self.scene.life.kill()
        self.scene.loop.post(back, self._revive, event)

    def _revive(self, event: Event) -> None:
        self.scene.loop.start_now(self._begin_life(event))

    async def _stop(self, event: Event, back_ns: int) -> None:
        """As servers stop: no new connection, those that are open are served to the end, then the lifespan ends."""
        self.scene.life.up = False
        while any(not exchange.state for exchange in self.clients.outstanding):
            await Wait(self.scene.loop, self.scene.loop.now_ns + SECOND // 1000)
        await self.scene.life.stop()
        await Wait(self.scene.loop, max(back_ns, self.scene.loop.now_ns))
        await self._begin_life(event)

    async def _begin_life(self, event: Event) -> None:
        receipt, before = self._receipts[event.event], self.scene.life.app
        try:
            self.clients.client = self.clients.client._replace(app=self.scene.life.rebuild())
            await self.scene.life.start()
        except Exception as error:  # noqa: BLE001 - whatever keeps it down belongs into the receipt
            self._receipts[event.event] = replace(receipt, detail=f"it does not start again: {error}")
            return
        # What an app keeps in its memory dies with its process; here only a new object has none.
        anew = self.scene.life.app is not before
        detail = event.params.how if anew else "`start.asgi` names an app and no factory, so its memory outlives it"
        self._receipts[event.event] = replace(receipt, delivered=1, potent=int(anew), detail=detail)
        self.scene.note("action", what=f"restart, {event.params.how}", status=200, body="")

    async def _release(self, k: int, event: Event) -> None:
        release, admin = event.params, self.scene.spec.target.admin
        through_seam = release.defect is not None or release.by == "shadow"
        if admin.release is None or (through_seam and "model" not in self.scene.seams):
            lacks = "admin.release" if admin.release is None else "the seam `model`"
            self._receipts[event.event] = lacking(lacks)
            return
        if through_seam:
            self._struck[event.event] = self.scene.seams["model"], self.scene.seams["model"].struck
        if release.defect:
            defect = release.defect
            fault = Fault(event.event, defect.fault, defect.by or 0, defect.share, first=release.version)
            self.scene.seams["model"].break_with(fault)
        elif release.by == "shadow":
            self.scene.seams["model"].watch(event.event, release.version)
        if release.by != "shadow":
            self.scene.recorder.released(release.version, 1 << k)
        body = msgspec.json.encode({"version": release.version, "by": release.by, "share": release.share})
        status, answer = await self._admin(admin.release, body)
        if not accepted(status):
            self.scene.recorder.released(release.version, 0)
        self._took(event, f"release {release.version}", status, answer)

    async def _retrain(self, k: int, event: Event) -> None:
        scene, seam = self.scene, self.scene.seams.get("model")
        if seam is not None:
            seam.watch(event.event, event.params.version)
        scene.recorder.released(event.params.version, 1 << k)
        retraining = self._retrainings[event.event] = Retraining(
            event, scene.spec.target, call=self._admin, now=lambda: scene.loop.now_ns, wait=self._until,
            note=partial(scene.note, "retraining"), epoch_ns=EPOCH_NS,
            asked=lambda: -1 if seam is None else seam.receipts[event.event].seen,
        )  # fmt: skip
        await retraining.go(scene.end_ns - 1)

    async def _until(self, when_ns: int) -> None:
        await Wait(self.scene.loop, when_ns)

    async def _operate(self, event: Event) -> None:
        action, body = action_of(event, self.scene.spec.target.admin)
        if action is None:
            self._receipts[event.event] = lacking(f"admin.{event.params.does}")
            return
        status, answer = await self._admin(action, body)
        self._took(event, event.params.does, status, answer)

    def _took(self, event: Event, what: str, status: int, answer: bytes) -> None:
        """The control plane has answered."""
        scene = self.scene
        self._receipts[event.event] = answered(event, status, scene.spec.scenario, scene.loop.now_ns)
        scene.note("action", what=what, status=status, body=answer.decode("utf-8", "replace"))

    async def _admin(self, action: str, body: bytes) -> tuple[int, bytes]:
        method, _, path = action.partition(" ")
        return await self.scene.life.call(method, path, body, self.scene.token)

    def receipts(self) -> dict[str, ServiceReceipt]:
        """What became of each, as far as is known now."""
        done = {name: retraining.receipt for name, retraining in self._retrainings.items()}
        for name, receipt in self._receipts.items():
            calls = next((s.receipts[name] for s in self.scene.seams.values() if name in s.receipts), None)
            event = self.scene.spec.scenario.event(name)
            if name in self._quotas:
                quota = self._quotas[name]
                done[name] = replace(
                    receipt, planned=quota.periods, delivered=quota.periods, potent=len(quota.throttled),
                    detail=f"used up in {len(quota.throttled)} of {quota.periods} periods",
                )  # fmt: skip
            elif calls is None:
                done[name] = receipt
            elif event.release is not None:
                # The action was accepted; its defect counts only if the model was really called through the seam.
                done[name] = replace(receipt, potent=min(receipt.potent, calls.potent))
            else:
                # Planned: of all calls while it was to last, those that the fault's share would take; at least one, or
                # nothing was broken.
                seam = self.scene.seams[_broken(event)]
                made = self._after.get(name, seam.calls) - self._before[name]
                planned = max(1, round(made * calls.taken / calls.seen) if calls.seen else 1)
                done[name] = replace(receipt, planned=planned, delivered=calls.taken, potent=calls.potent)
        return done

"""Who looks at the service while it runs: whether it is ready, how often who was called, what it says of itself."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from simulator.drivers import of_itself
from simulator.drivers.virtual.clients import Clients
from simulator.drivers.virtual.clocks import EPOCH_NS
from simulator.drivers.virtual.scene import Scene
from simulator.scenario.quantities import MINUTE, SECOND

_WATCHES: Final = 200  # monitor readings a run at most: enough for a picture


class Observers:
    """Notes of one run.

    Args:
        scene: shared with the other parts of the run.
        clients: whose attempts are counted.
    """

    def __init__(self, scene: Scene, clients: Clients) -> None:
        self.scene = scene
        self.clients = clients
        self.watch_ns = max(MINUTE, scene.end_ns // _WATCHES)
        self.was_ready: bool | None = None
        self.measures = any(expectation.cost for expectation in scene.spec.scenario.then)

    def start(self) -> None:
        """Look for the first time when it is due."""
        loop, scenario = self.scene.loop, self.scene.spec.scenario
        loop.post(self.watch_ns, self._count, None)
        if self.scene.spec.target.monitors:
            loop.post(self.watch_ns, self._watch, None)
        if any(expectation.readiness for expectation in scenario.then):
            loop.post(SECOND, self._probe, None)

    def _probe(self, _: Any) -> None:
        self.scene.loop.start_now(self._ask_readiness())
        if self.scene.loop.now_ns + SECOND < self.scene.end_ns:
            self.scene.loop.post(self.scene.loop.now_ns + SECOND, self._probe, None)

    async def _ask_readiness(self) -> None:
        """Asked every second; on record are changes, and one answer a minute as a sign of life."""
        path = self.scene.spec.target.start.ready
        if path is None:
            return
        try:
            async with asyncio.timeout(of_itself.READY_WITHIN_S):
                status, _ = await self.scene.life.call("GET", path)
        except TimeoutError:  # whoever asks whether to send requests there does not wait for ever
            status = 0
        ready = status == 200  # noqa: PLR2004 - as the target file says
        if ready != self.was_ready or self.scene.loop.now_ns % MINUTE == 0:
            self.scene.note("ready", ready=ready)
        self.was_ready = ready

    def _count(self, _: Any) -> None:
        """How often everybody was called so far: what an outage makes of it is held against the clean twin."""
        self.scene.note(
            "calls", service=self.clients.attempts, **{name: seam.calls for name, seam in self.scene.seams.items()}
        )
        cpu = self.clients.client.cpu
        if self.measures and cpu is not None:
            self.scene.note("cpu", used_ns=cpu.used_ns)
        if self.scene.loop.now_ns + self.watch_ns < self.scene.end_ns:
            self.scene.loop.post(self.scene.loop.now_ns + self.watch_ns, self._count, None)

    def _watch(self, _: Any) -> None:
        self.scene.loop.start_now(self._observe("monitor", self.scene.spec.target.monitors))
        if self.scene.loop.now_ns + self.watch_ns < self.scene.end_ns:
            self.scene.loop.post(self.scene.loop.now_ns + self.watch_ns, self._watch, None)

    async def _observe(self, kind: str, path: str | None) -> None:
        if path is None:
            return
        status, body = await self.scene.life.call("GET", path, token=self.scene.token)
        if status != 200:  # noqa: PLR2004 - a refusal is worth knowing, too
            self.scene.note("action", what=f"GET {path}", status=status, body=of_itself.shown(body))
            return
        said = of_itself.psi(body) if kind == "monitor" else of_itself.quality(body, EPOCH_NS)
        if said is None:
            self.scene.note("action", what=f"GET {path}, not understood", status=status, body=of_itself.shown(body))
        else:
            self.scene.note(kind, **said)

    def last_words(self, _: Any) -> None:
        """Ask what quality the service reports of itself."""
        # The last instant that still belongs to the run: what the service says of itself now can be held against it.
        self.scene.loop.start_now(self._observe("quality", self.scene.spec.target.quality))

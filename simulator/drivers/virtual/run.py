"""One rehearsal in virtual time: plan in, history out. For a process that runs one rehearsal and ends."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from simulator.drivers import exposition
from simulator.drivers.door import Door
from simulator.drivers.labels import Due
from simulator.drivers.labels import body as label_body
from simulator.drivers.record import Recorder
from simulator.drivers.spec import RunSpec, settings_of
from simulator.drivers.virtual.app import VirtualClock, build, takes_clock
from simulator.drivers.virtual.clients import Clients
from simulator.drivers.virtual.clocks import inline_worker_threads, patch_clocks
from simulator.drivers.virtual.guards import raise_rails
from simulator.drivers.virtual.incidents import Incidents
from simulator.drivers.virtual.life import Life
from simulator.drivers.virtual.loop import VirtualLoop, VirtualTimeError
from simulator.drivers.virtual.observers import Observers
from simulator.drivers.virtual.pages import enlarge
from simulator.drivers.virtual.post import Post
from simulator.drivers.virtual.reviewers import Reviewers
from simulator.drivers.virtual.scene import Scene
from simulator.history.schema import History
from simulator.plan import Chunk, end_ns, plan
from simulator.scenario.quantities import SECOND
from simulator.targets import sink as sinks
from simulator.targets.bundles import offered
from simulator.targets.codecs import codec
from simulator.targets.seams import Seam
from simulator.world.populations import get

Progress = Callable[[float], None]
_LONG: Final = 20_000  # requests between two looks for memory in small pages: a look takes as long as they save
_GRACE: Final = 2 * SECOND  # after the last timeout, before what is outstanding counts as lost
ALERT_SINK: Final = "alert_sink"  # the one dependency of every target that the harness itself is


def rehearse(spec: RunSpec, progress: Progress = lambda _: None) -> History:
    """Carry out one run and seal its history in ``spec.folder``.

    A guard rail that fires, or a harness that cannot go on, becomes a ``harness`` note in the history instead of
    an exception, so that the judge sees it.

    Raises:
        ValueError: The target cannot be run in process.
    """
    return prepare(spec, progress)()


def prepare(spec: RunSpec, progress: Progress = lambda _: None) -> Callable[[], History]:
    """Load the service and patch the process; the function that then carries out the run."""
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    reference = spec.target.start.asgi
    if reference is None:
        raise ValueError(f"{spec.target_path}: virtual time needs start.asgi; a command or a url runs live only")
    if spec.target.start.clock == "patched" or (spec.target.start.clock is None and not takes_clock(reference)):
        patch_clocks(loop)
        inline_worker_threads()
    run = _Run(loop, spec, progress)

    def go() -> History:
        gc.collect()
        gc.freeze()
        gc.disable()  # collected at fixed virtual times instead: finalisers run at the same moment in every run
        lower = raise_rails(loop)
        try:
            fault = run.go()
        finally:
            lower()
            gc.enable()
        return run.close(fault)

    return go


class _Run:
    """The parts of one run. Everything that happens is a posted callback or an eager task."""

    def __init__(self, loop: VirtualLoop, spec: RunSpec, progress: Progress) -> None:
        self.loop, self.spec, self.progress = loop, spec, progress
        scenario, target = spec.scenario, spec.target
        population = get(scenario.given.population, Path(spec.path).parent)
        time_given = target.service_time
        self.capacity = time_given.capacity(scenario.given.traffic.batch) if time_given else None
        self.end = end_ns(scenario, population)
        self.enlarge_at = _LONG
        self.chunks: Iterator[Chunk] = plan(scenario, population, capacity_per_second=self.capacity)
        spoken = codec(target, population.fields)
        self.recorder = Recorder(
            spec, spoken, "virtual", self.end, lambda tick: loop.post(tick, self._deliver_labels, tick)
        )
        self.sink = sinks.Sink(target.alerts, lambda: loop.now_ns)
        loop.network.serve(sinks.HOST, sinks.PORT, lambda: self.sink.protocol(self._received))
        self.seams = {name: Seam(name, scenario.seed) for name in (*target.seams, ALERT_SINK)}
        self.sink.gate = self.seams[ALERT_SINK].wrap(self.sink.gate)
        self.door = Door(self.sink, lambda: self.seams[ALERT_SINK].broken)
        self.token = hashlib.blake2b(f"token:{scenario.seed}".encode(), digest_size=16).hexdigest()
        shutil.rmtree(spec.folder / "state", ignore_errors=True)  # what an earlier run left is not this one's past
        self.life = Life(loop, lambda: build(str(target.start.asgi), self._offered()))
        self.scene = Scene(loop, spec, self.recorder, self.life, self.seams, self.token, self.end)
        self.clients = Clients(self.scene, self.chunks, spoken)
        self.incidents = Incidents(self.scene, self.clients)
        self.observers = Observers(self.scene, self.clients)
        self.reviewers = Reviewers(self.scene)

    def _offered(self) -> dict[str, Any]:
        here = {
            "sink": f"http://{sinks.HOST}:{sinks.PORT}",
            "token": self.token,
            "here": str(self.spec.target_path.parent),
            "state": str(self.spec.folder / "state"),
            "bundles": offered(self.spec.scenario, self.spec.target, self.spec.target_path, self.spec.folder),
        }
        # Who is to read the process' own clocks must not be given another one.
        clock = {} if self.spec.target.start.clock == "patched" else {"clock": VirtualClock(self.loop)}
        return clock | {
            "settings": settings_of(self.spec, here),
            "seams": {name: seam.wrap for name, seam in self.seams.items()},
            "post": Post(self.loop, self._received),
        }

    def _received(self, path: str, body: bytes) -> int:
        """What the alert receiver makes of a notification. It keeps the driver's time, or its moments mean nothing."""
        alerts, notes = len(self.sink.alerts), len(self.sink.notes)
        status = self.door.receive(path, body)
        stamps = {one.at_ns for one in self.sink.alerts[alerts:]} | {one.at_ns for one in self.sink.notes[notes:]}
        if stamps - {self.loop.now_ns}:
            self.loop.violations.append("the alert receiver stamps what it gets by another clock than the driver's")
        return status

    # ------------------------------------------------------------ the run

    def go(self) -> str:
        """Everything up to the end of the run; the fault of the harness or of a guard rail, or an empty string."""
        loop, scenario = self.loop, self.spec.scenario
        try:
            loop.run_until_complete(self.life.start())
            self.clients.next_chunk()
            loop.post(scenario.given.warmup, self._steady, None)
            for k, event in enumerate(scenario.when):
                if event.layer == "service":
                    loop.post(event.at, self.incidents.begin, (k, event))
            self.observers.start()
            self.reviewers.start()
            loop.post(self.end // 50, self._tick, None)
            loop.post(self.end // 8, self._collect, None)
            loop.post(self.end - 1, self.observers.last_words, None)
            loop.post(self.end, self._heal, None)
            loop.run_until(self.end + scenario.given.traffic.timeout + _GRACE)
            loop.run_until_complete(self.recorder.read_log(lambda: loop.now_ns, self._get))
            loop.run_until_complete(self.reviewers.last_words())
            loop.run_until_complete(self._read_meters())
            loop.run_until_complete(self.life.stop())
        except VirtualTimeError as error:
            return str(error)
        except Exception as error:
            logging.getLogger("seatrial").debug("run failed", exc_info=True)
            return f"{type(error).__name__}: {error}"
        return loop.violations[0] if loop.violations else self.door.lost()

    def _tick(self, _: Any) -> None:
        self.progress(min(1.0, self.loop.now_ns / self.end))
        if self.clients.attempts >= self.enlarge_at:
            self.enlarge_at = self.clients.attempts + _LONG
            enlarge()
        if self.loop.now_ns < self.end:
            self.loop.post(self.loop.now_ns + self.end // 50, self._tick, None)

    def _collect(self, _: Any) -> None:
        gc.collect()
        if self.loop.now_ns < self.end:
            self.loop.post(self.loop.now_ns + self.end // 8, self._collect, None)

    # ------------------------------------------------------------ labels, and what is told of the run

    def _deliver_labels(self, tick: int) -> None:
        post = self.spec.target.labels
        if post is not None and tick <= self.end:
            for batch in self.recorder.due(tick):
                self.loop.start_now(self._post_labels(post.post, batch))

    async def _post_labels(self, path: str, batch: list[Due]) -> None:
        status, _ = await self.life.call("POST", path, label_body(batch), self.token)
        if status < 300:  # noqa: PLR2004 - acknowledged
            self.recorder.labelled(batch, self.loop.now_ns)
        elif not self.life.answers:
            self.recorder.undelivered(batch, self.loop.now_ns)

    def _steady(self, _: Any) -> None:
        holds, why = self.spec.steadiness(self.spec.scenario, self.recorder.warmup(self.sink.alerts))
        self.scene.note("steady_state", holds=holds, why=why)
        self.scene.sending = holds

    async def _get(self, path: str) -> tuple[int, bytes]:
        return await self.life.call("GET", path, token=self.token)

    async def _read_meters(self) -> None:
        """What the metrics have counted, and which version is said to serve, when nothing is in flight any more."""
        target, then = self.spec.target, self.spec.scenario.then
        if target.metrics is None or not any(expectation.metered for expectation in then):
            return
        self.scene.note("metrics", **exposition.counted(*await self._get(target.metrics.path), target.metrics))
        if target.serving is not None:
            self.scene.note("serving", version=exposition.serving(*await self._get(target.serving)))

    def _heal(self, _: Any) -> None:
        for seam in self.seams.values():
            seam.heal()
        self.incidents.count()
        self.scene.note("heal", healed=not any(seam.broken for seam in self.seams.values()), why="")

    # ------------------------------------------------------------ the end

    def close(self, fault: str) -> History:
        """Write and seal the history."""
        for chunk in self.chunks:  # an interrupted run still knows what it had planned
            self.recorder.take(chunk)
        if fault:
            self.scene.note("harness", fault=fault)
        # Virtual time waits for nobody, so this is 0; measured all the same, because a driver can be broken.
        late = self.clients.late_ns
        self.scene.note("driver", late_p99_ns=late, late_max_ns=late, attempts=self.clients.attempts)
        if self.clients.reactions is not None:
            r = self.clients.reactions
            self.scene.note("feedback", left=r.left, withheld=r.withheld, again=r.again)
        if self.capacity is not None:
            self.scene.note("capacity", per_second=self.capacity)
        return self.recorder.close(self.sink.alerts, self.sink.notes, self.incidents.receipts())

"""One run in real time, whoever sends its requests: the target, the alerts, the labels, the releases, the healing.

Who sends is handed to it: this very process (`simulator.drivers.live`) or a fleet (`simulator.drivers.locust`).
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import httpx

from simulator.drivers import of_itself
from simulator.drivers.bad_ways import Ways, lay, unseen
from simulator.drivers.cpu_time import used_ns
from simulator.drivers.dependencies import Dependencies, proxied
from simulator.drivers.door import Door
from simulator.drivers.incidents import Incidents, Scene
from simulator.drivers.interruption import interruptible
from simulator.drivers.labels import Due
from simulator.drivers.labels import body as label_body
from simulator.drivers.poll import watch
from simulator.drivers.process import Process
from simulator.drivers.receipts import ServiceReceipt
from simulator.drivers.record import Planned, Recorder
from simulator.drivers.spec import RunSpec
from simulator.drivers.start import started
from simulator.history.schema import NEVER, History, Outcome
from simulator.plan import end_ns, plan
from simulator.scenario.quantities import SECOND
from simulator.scenario.verbs import PROCESS
from simulator.targets.codecs import codec
from simulator.targets.model import Alerts
from simulator.targets.sink import Sink
from simulator.world.populations import get

Progress = Callable[[float], None]
_NOBODY_THERE: Final = (0, 502, 503)  # also behind a proxy
_LEAD: Final = SECOND // 2  # between "ready" and the plan's zero


@dataclass(slots=True)
class Sent:
    """How one request went. Over a socket, the service saw it no later than its reply came back."""

    planned: Planned
    sent_ns: int
    seen_ns: int
    replied_ns: int
    ended_ns: int
    attempt: int
    status: int
    reply: bytes
    failure: Outcome | None


class Sender(Protocol):
    """Carries a voyage's requests to the service, each at its moment, and concludes each with its recorder.

    It adds how late each request left to ``voyage.lateness``, and stops when ``voyage.sending`` no longer holds.
    """

    async def prepare(self, voyage: Voyage, url: str) -> None:
        """Whatever may take its time, before the plan's zero."""

    async def send(self, voyage: Voyage) -> None:
        """Until the last request has left."""

    async def finish(self, voyage: Voyage) -> None:
        """Until the last request is concluded, or given up."""


class Voyage:
    """The state of one run in real time."""

    def __init__(self, spec: RunSpec, progress: Progress, driver: str) -> None:
        self.spec, self.progress = spec, progress
        scenario = spec.scenario
        population = get(scenario.given.population, Path(spec.path).parent)
        self.end = end_ns(scenario, population)
        self.codec = codec(spec.target, population.fields)
        self.recorder = Recorder(spec, self.codec, driver, self.end, self._schedule_labels)
        # The whole plan is ready before the first request: encoding must not make the driver late.
        self.requests = [
            planned for chunk in plan(scenario, population) for planned in self.recorder.take(chunk)
        ]  # fmt: skip
        self.sink = Sink(spec.target.alerts, self.now)
        self.door = Door(self.sink)
        self.zero_ns = 0
        self.token = os.environ.get("SEATRIAL_TOKEN") or secrets.token_urlsafe(24)
        self.lateness: list[int] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.receipts: dict[str, ServiceReceipt] = {}
        self.sending = True
        self.http: httpx.AsyncClient
        self.dependencies: Dependencies
        self.ways: Ways = {}  # through which the requests go that a bad network touches
        self.refused: dict[str, str] = {}  # event → why the proxy would not spoil its way
        self.headers = (*self.codec.headers, *spec.target.marked())

    def now(self) -> int:
        """Nanoseconds since the plan's zero."""
        return time.monotonic_ns() - self.zero_ns

    async def go(self, sender: Sender) -> History:
        """The whole run, from starting the target to sealing the history.

        Raises:
            KeyboardInterrupt: It was told to end; the target is healed then as well.
        """
        with interruptible() as too_late:
            return await self._go(sender, too_late)

    async def _go(self, sender: Sender, healing: Callable[[], None]) -> History:
        alerts = self.spec.target.alerts or Alerts()
        host, _, port = alerts.listen.rpartition(":")
        sink = await asyncio.get_running_loop().create_server(
            lambda: self.sink.protocol(self.door.receive), host, int(port)
        )
        reach = alerts.reach or f"http://127.0.0.1:{sink.sockets[0].getsockname()[1]}"
        traffic = self.spec.scenario.given.traffic
        async with (
            sink,
            proxied(self.spec) as self.dependencies,
            started(self.spec, reach, self.token, self.dependencies.names) as service,
            httpx.AsyncClient(
                base_url=service.url, timeout=traffic.timeout / SECOND, headers=list(self.spec.target.marked()),
                trust_env=False,
            ) as self.http,
        ):  # fmt: skip
            incidents = Incidents(
                Scene(
                    self.spec, self.end, self.recorder, self.now, self.until, self._call, lambda: self.sending,
                    self.dependencies, service,
                ), self.receipts,
            )  # fmt: skip
            await self._lay_bad_ways(service.url)
            await sender.prepare(self, service.url)
            self.zero_ns = time.monotonic_ns() + _LEAD
            self.spawn(self._steady())
            if alerts.poll is not None:
                self.spawn(watch(alerts.poll, self.sink, self.until))
            if any(expectation.readiness for expectation in self.spec.scenario.then):
                self.spawn(self._ask_readiness())
            if any(expectation.cost for expectation in self.spec.scenario.then) and service.process is not None:
                self.spawn(self._measure(service.process))
            returning = []
            for k, event in enumerate(self.spec.scenario.when):
                if event.layer == "service":
                    task = self.spawn(incidents.begin(k, event))
                    returning += [task] if event.verb in PROCESS else []
            try:
                await sender.send(self)
                await self.until(self.end - SECOND)
                await self._observe("quality", self.spec.target.quality)
                await self.until(self.end)
                await sender.finish(self)
                if returning:  # starting again may outlast the plan, and the log is read from the one that took it up
                    await asyncio.wait(returning)
                await self.recorder.read_log(self.now, lambda path: self._call("GET", path))
                await self._count_bad_ways()
                if self.tasks:
                    await asyncio.wait(self.tasks, timeout=traffic.timeout / SECOND + 1)
            finally:
                healing()
                for task in self.tasks:
                    task.cancel()
                await incidents.heal()
        return self._close()

    async def _lay_bad_ways(self, url: str) -> None:
        events = [event for event in self.spec.scenario.when if event.network is not None]
        if events:
            sizes = sorted(len(planned.body) for planned in self.requests)
            self.ways, self.refused = await lay(self.dependencies.proxies, events, url, sizes[len(sizes) // 2])

    async def _count_bad_ways(self) -> None:
        """What the proxy has not counted never happened, however the requests came out."""
        for event in self.spec.scenario.when:
            if event.network is None or not self.ways:
                continue
            why = self.refused.get(event.event) or await unseen(self.dependencies.proxies, event)
            if why is not None:
                self.receipts[event.event] = ServiceReceipt(NEVER, 1, 0, 0, detail=why)

    def spawn(self, work: Any) -> asyncio.Task[Any]:
        """Work beside the sending, until the run ends."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def until(self, when_ns: int) -> None:
        """Wait for that moment of the plan."""
        wait = when_ns - self.now()
        if wait > 0:
            await asyncio.sleep(wait / SECOND)

    async def _call(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        headers = {"content-type": "application/json", "authorization": f"Bearer {self.token}"}
        try:
            response = await self.http.request(method, path, content=body, headers=headers)
        except httpx.TransportError as error:
            return 0, str(error).encode()
        return response.status_code, response.content

    def _schedule_labels(self, tick: int) -> None:
        if self.spec.target.labels is not None and tick <= self.end:
            self.spawn(self._deliver_labels(tick))

    async def _deliver_labels(self, tick: int) -> None:
        await self.until(tick)
        for batch in self.recorder.due(tick):
            await self._post_labels(batch)

    async def _post_labels(self, batch: list[Due]) -> None:
        assert self.spec.target.labels is not None  # noqa: S101 - only scheduled if there is an intake
        status, _ = await self._call("POST", self.spec.target.labels.post, label_body(batch))
        if 200 <= status < 300:  # noqa: PLR2004 - acknowledged
            self.recorder.labelled(batch, self.now())
        elif status in _NOBODY_THERE:
            self.recorder.undelivered(batch, self.now())

    async def _steady(self) -> None:
        await self.until(self.spec.scenario.given.warmup)
        holds, why = self.spec.steadiness(self.spec.scenario, self.recorder.warmup(self.sink.alerts))
        self.recorder.note(self.now(), "steady_state", holds=holds, why=why)
        self.sending = holds

    async def _ask_readiness(self) -> None:
        """Every second; on record are changes, and one answer a minute as a sign of life."""
        path, was, second = self.spec.target.start.ready, None, 1
        while path is not None:
            await self.until(second * SECOND)
            try:
                async with asyncio.timeout(of_itself.READY_WITHIN_S):
                    status, _ = await self._call("GET", path)
            except TimeoutError:  # whoever asks whether to send requests there does not wait for ever
                status = 0
            ready = status == 200  # noqa: PLR2004 - as the target file says
            if ready != was or second % 60 == 0:
                self.recorder.note(self.now(), "ready", ready=ready)
            was, second = ready, second + 1

    async def _measure(self, process: Process) -> None:
        """Every ten seconds, what the service that we started has used of the CPU."""
        ticks = 0
        while True:
            self.recorder.note(self.now(), "cpu", used_ns=used_ns(process.session), session=process.session)
            ticks += 1
            await self.until(ticks * 10 * SECOND)

    async def _observe(self, kind: str, path: str | None) -> None:
        if path is None:
            return
        status, body = await self._call("GET", path)
        if status == 200:  # noqa: PLR2004 - an answer
            said = of_itself.quality(body, time.time_ns() - self.now())
            if said is not None:
                self.recorder.note(self.now(), kind, **said)

    def _close(self) -> History:
        late = sorted(self.lateness)
        p99 = late[min(len(late) - 1, len(late) * 99 // 100)] if late else 0
        now = self.now()
        self.recorder.note(now, "driver", late_p99_ns=p99, late_max_ns=late[-1] if late else 0)
        if lost := self.door.lost():
            self.recorder.note(now, "harness", fault=lost)
        return self.recorder.close(self.sink.alerts, self.sink.notes, self.receipts)

"""The live driver: the same plan over real sockets, open loop, latency from the scheduled send.

Open loop: a request is sent when the plan says, however many are still unanswered, so that a slow service cannot
slow its own load down (coordinated omission). How late the driver itself was is recorded and judged.

A `Voyage` is everything but the sending: the target, the alerts, the labels, the releases, the healing. Who sends is
handed to it, so that a fleet may (see `simulator.drivers.locust`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import httpx
import msgspec

from simulator.drivers import retry
from simulator.drivers.labels import Due
from simulator.drivers.labels import body as label_body
from simulator.drivers.operators import action_of
from simulator.drivers.receipts import ServiceReceipt
from simulator.drivers.record import Planned, Recorder
from simulator.drivers.spec import RunSpec, substitute
from simulator.history.schema import NEVER, History, Outcome
from simulator.plan import end_ns, plan
from simulator.scenario.quantities import SECOND
from simulator.scenario.verbs import Event
from simulator.targets.codecs import codec
from simulator.targets.sink import Sink
from simulator.world.populations import get

Progress = Callable[[float], None]
_START_WITHIN: Final = 60.0  # seconds for a started service to become ready
_NOTHING_TO_TAKE_BACK: Final = 409  # the service was quicker and rolled back by itself
_LEAD: Final = SECOND // 2  # between "ready" and the plan's zero


class TargetDown(RuntimeError):  # noqa: N818 - says what is the case
    """The target could not be started or reached."""


def run_live(spec: RunSpec, progress: Progress = lambda _: None) -> History:
    """Carry out one run in real time and seal its history in ``spec.folder``.

    Raises:
        TargetDown: The target did not start, or does not answer its ready path.
    """
    return asyncio.run(carry_out(spec, progress, "live", Sockets()))


async def carry_out(spec: RunSpec, progress: Progress, driver: str, sender: Sender) -> History:
    """One run whose requests `sender` sends. Raises as `run_live` does, and whatever the sender raises."""
    return await Voyage(spec, progress, driver).go(sender)


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


class Sockets:
    """Sends from this very process."""

    async def prepare(self, voyage: Voyage, url: str) -> None:
        """Nothing: the requests are ready."""

    async def send(self, voyage: Voyage) -> None:
        """Each request in a task of its own."""
        told = 0
        for planned in voyage.requests:
            await voyage.until(planned.scheduled_ns)
            if not voyage.sending:
                break
            voyage.lateness.append(max(0, voyage.now() - planned.scheduled_ns))
            voyage.spawn(_request(voyage, planned))
            if planned.scheduled_ns * 50 // voyage.end > told:
                told = planned.scheduled_ns * 50 // voyage.end
                voyage.progress(told / 50)

    async def finish(self, voyage: Voyage) -> None:
        """Nothing: requests are tasks of the voyage, which waits for them."""


async def _request(voyage: Voyage, planned: Planned) -> None:
    traffic = voyage.spec.scenario.given.traffic
    for attempt in range(1, traffic.retries + 2):
        sent = await _attempt(voyage, planned, attempt)
        if attempt > traffic.retries or not voyage.sending or not _unanswered(voyage, sent):
            break
        await asyncio.sleep(retry.wait_ns(attempt, planned.retry_u) / SECOND)
    voyage.recorder.concluded(sent)


def _unanswered(voyage: Voyage, sent: Sent) -> bool:
    """Whether a client would try again."""
    failed = sent.failure is not None
    return (sent.failure if failed else voyage.codec.decode(sent.status, sent.reply, 1).outcome) in retry.RETRIED


async def _attempt(voyage: Voyage, planned: Planned, attempt: int) -> Sent:
    sent_ns, status, replied_ns, body, failure = voyage.now(), 0, NEVER, b"", None
    headers = [(k.decode(), v.decode()) for k, v in voyage.codec.headers]
    if planned.key:
        headers.append(("idempotency-key", planned.key))
    try:
        response = await voyage.http.post(voyage.codec.path, content=planned.body, headers=headers)
        status, replied_ns, body = response.status_code, voyage.now(), response.content
    except httpx.TimeoutException:
        failure = Outcome.TIMEOUT
    except httpx.TransportError:
        failure = Outcome.RESET
    ended_ns = voyage.now()
    return Sent(planned, sent_ns, replied_ns, replied_ns, ended_ns, attempt, status, body, failure)


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
        self.zero_ns = 0
        self.token = os.environ.get("SEATRIAL_TOKEN") or secrets.token_urlsafe(24)
        self.lateness: list[int] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.receipts: dict[str, ServiceReceipt] = {}
        self.sending = True
        self.releasing = False  # a version was released and has to be taken back
        self.http: httpx.AsyncClient

    def now(self) -> int:
        """Nanoseconds since the plan's zero."""
        return time.monotonic_ns() - self.zero_ns

    async def go(self, sender: Sender) -> History:
        """The whole run, from starting the target to sealing the history."""
        sink = await asyncio.get_running_loop().create_server(self.sink.protocol, "127.0.0.1", 0)
        port = sink.sockets[0].getsockname()[1]
        traffic = self.spec.scenario.given.traffic
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
        async with (
            sink,
            started(self.spec, f"http://127.0.0.1:{port}", self.token) as url,
            httpx.AsyncClient(
                base_url=url, timeout=traffic.timeout / SECOND, limits=limits, trust_env=False
            ) as self.http,
        ):
            await sender.prepare(self, url)
            self.zero_ns = time.monotonic_ns() + _LEAD
            self.spawn(self._steady())
            for k, event in enumerate(self.spec.scenario.when):
                if event.layer == "service":
                    self.spawn(self._begin(k, event))
            try:
                await sender.send(self)
                await self.until(self.end - SECOND)
                await self._observe("quality", self.spec.target.quality)
                await self.until(self.end)
                await sender.finish(self)
                if self.tasks:
                    patience = retry.patience_ns(traffic.timeout, traffic.retries) / SECOND
                    await asyncio.wait(self.tasks, timeout=patience + 1)
            finally:
                for task in self.tasks:
                    task.cancel()
                await self._heal()
        return self._close()

    def spawn(self, work: Any) -> None:
        """Work beside the sending, until the run ends."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

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

    async def _steady(self) -> None:
        await self.until(self.spec.scenario.given.warmup)
        holds, why = self.spec.steadiness(self.spec.scenario, self.recorder.warmup(self.sink.alerts))
        self.recorder.note(self.now(), "steady_state", holds=holds, why=why)
        self.sending = holds

    async def _begin(self, k: int, event: Event) -> None:
        await self.until(event.at)
        release = event.release
        if event.operator is not None:
            await self._operate(event)
            return
        reachable = release is not None and release.defect is None and release.by != "shadow"
        if release is None or not reachable or self.spec.target.admin.release is None:
            detail = "a live target's dependencies and models are out of the harness' reach"
            self.receipts[event.event] = ServiceReceipt(NEVER, 1, 0, 0, supported=False, detail=detail)
            return
        method, _, path = self.spec.target.admin.release.partition(" ")
        body = msgspec.json.encode({"version": release.version, "by": release.by, "share": release.share})
        status, answer = await self._call(method, path, body)
        accepted = 200 <= status < 300  # noqa: PLR2004 - accepted
        if accepted:
            self.recorder.released(release.version, 1 << k)
            self.releasing = True
        at = self.now() if accepted else NEVER
        self.receipts[event.event] = ServiceReceipt(at, 1, int(accepted), int(accepted), detail=f"status {status}")
        what = f"release {release.version}"
        self.recorder.note(self.now(), "action", what=what, status=status, body=answer.decode("utf-8", "replace"))

    async def _operate(self, event: Event) -> None:
        action, body = action_of(event, self.spec.target.admin)
        if action is None:
            detail = f"the target file has no admin.{event.params.does}"
            self.receipts[event.event] = ServiceReceipt(NEVER, 1, 0, 0, supported=False, detail=detail)
            return
        method, _, path = action.partition(" ")
        status, answer = await self._call(method, path, body)
        done = 200 <= status < 300  # noqa: PLR2004 - accepted
        at = self.now() if done else NEVER
        self.receipts[event.event] = ServiceReceipt(at, 1, int(done), int(done), detail=f"status {status}")
        said = answer.decode("utf-8", "replace")
        self.recorder.note(self.now(), "action", what=event.params.does, status=status, body=said)

    async def _heal(self) -> None:
        # Only a release outlives its request, and it would be there in the twin, too.
        healed, why = True, "nothing was broken that outlives its request"
        action = self.spec.target.admin.rollback
        if self.releasing and self.spec.target.start.command:
            why = "the service that was started for this run ends with it"
        elif self.releasing and action is None:
            healed, why = False, "a version was released, and the target file has no admin.rollback"
        elif self.releasing and action is not None:
            method, _, path = action.partition(" ")
            status, _ = await self._call(method, path)
            healed = 200 <= status < 300 or status == _NOTHING_TO_TAKE_BACK  # noqa: PLR2004 - HTTP's success range
            why = f"{path} answered {status}"
        self.recorder.note(self.now(), "heal", healed=healed, why=why)

    async def _observe(self, kind: str, path: str | None) -> None:
        if path is None:
            return
        status, body = await self._call("GET", path)
        if status == 200:  # noqa: PLR2004 - an answer
            shift = time.time_ns() - self.now()
            document = msgspec.json.decode(body)
            since = {k: v - shift for k, v in document.items() if k.endswith("_ns")}
            self.recorder.note(self.now(), kind, **(document | since))

    def _close(self) -> History:
        late = sorted(self.lateness)
        p99 = late[min(len(late) - 1, len(late) * 99 // 100)] if late else 0
        now = self.now()
        self.recorder.note(now, "driver", late_p99_ns=p99, late_max_ns=late[-1] if late else 0)
        return self.recorder.close(self.sink.alerts, self.sink.notes, self.receipts)


@contextlib.asynccontextmanager
async def started(spec: RunSpec, sink: str, token: str) -> AsyncIterator[str]:
    """The target's base URL; starts its command first if it has one, and stops that process afterwards."""
    start = spec.target.start
    if start.url is None:
        raise TargetDown(f"{spec.target_path}: a live run needs start.url (and start.command, if it is to be started)")
    names = {
        "sink": sink, "token": token, "port": str(free_port()), "here": str(spec.target_path.parent),
        "python": sys.executable,
    }  # fmt: skip
    url = substitute(start.url, names)
    process = None
    if start.command:
        environment = os.environ | {k: substitute(v, names) for k, v in start.env.items()}
        process = await asyncio.create_subprocess_exec(
            *substitute(start.command, names), env=environment,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
    try:
        await _ready(url, start.ready, process)
        yield url
    finally:
        if process is not None and process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 10)
            except TimeoutError:
                process.kill()
                await process.wait()


async def _ready(url: str, path: str | None, process: asyncio.subprocess.Process | None) -> None:
    deadline = time.monotonic() + _START_WITHIN
    last = "no answer"
    async with httpx.AsyncClient(base_url=url, timeout=2, trust_env=False) as http:
        while time.monotonic() < deadline:
            if process is not None and process.returncode is not None:
                raise TargetDown(f"the target's command ended with code {process.returncode} before it was ready")
            try:
                response = await http.get(path or "/")
            except httpx.TransportError as error:
                last = f"{type(error).__name__}: {error}"
            else:
                if response.status_code == 200 or path is None:  # noqa: PLR2004 - ready
                    return
                last = f"status {response.status_code}"
            await asyncio.sleep(0.1)
    raise TargetDown(f"{url}{path or '/'} was not ready within {_START_WITHIN:.0f} s; last: {last}")


def free_port() -> int:
    """A port of loopback that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

"""One rehearsal in virtual time: plan in, history out. For a process that runs one rehearsal and ends."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import logging
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec

from simulator.drivers import of_itself, retry
from simulator.drivers.feedback import Reactions
from simulator.drivers.labels import Due
from simulator.drivers.labels import body as label_body
from simulator.drivers.operators import action_of
from simulator.drivers.receipts import ServiceReceipt
from simulator.drivers.record import Planned, Recorder
from simulator.drivers.spec import RunSpec, settings_of
from simulator.drivers.virtual.app import VirtualClock, build, takes_clock
from simulator.drivers.virtual.clocks import EPOCH_NS, inline_worker_threads, patch_clocks
from simulator.drivers.virtual.cpu import VirtualCpu, Wait
from simulator.drivers.virtual.exchange import Client, Exchange
from simulator.drivers.virtual.guards import raise_rails
from simulator.drivers.virtual.life import Life
from simulator.drivers.virtual.loop import VirtualLoop, VirtualTimeError
from simulator.drivers.virtual.post import Post
from simulator.drivers.virtual.wire import Cut, Slow
from simulator.history.schema import NEVER, History, Outcome
from simulator.plan import Chunk, end_ns, plan
from simulator.scenario.quantities import MINUTE, SECOND
from simulator.scenario.verbs import Event, Network
from simulator.targets import sink as sinks
from simulator.targets.bundles import offered
from simulator.targets.codecs import codec
from simulator.targets.seams import Fault, Seam
from simulator.world.populations import get

Progress = Callable[[float], None]
_GRACE: Final = 2 * SECOND  # after the last timeout, before what is outstanding counts as lost
_WATCHES: Final = 200  # monitor readings a run at most: enough for a picture
ALERT_SINK: Final = "alert_sink"  # the one dependency of every target that the harness itself is
_REFUSALS: Final = range(400, 500)


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
    """The state of one run. Everything that happens is a posted callback or an eager task."""

    def __init__(self, loop: VirtualLoop, spec: RunSpec, progress: Progress) -> None:
        self.loop, self.spec, self.progress = loop, spec, progress
        scenario, target = spec.scenario, spec.target
        population = get(scenario.given.population, Path(spec.path).parent)
        self.traffic = scenario.given.traffic
        rows = self.traffic.batch
        time_given = target.service_time
        self.capacity = time_given.capacity(rows) if time_given else None
        self.end = end_ns(scenario, population)
        self.watch_ns = max(MINUTE, self.end // _WATCHES)
        self.chunks: Iterator[Chunk] = plan(scenario, population, capacity_per_second=self.capacity)
        self.codec = codec(target, population.fields)
        self.recorder = Recorder(
            spec, self.codec, "virtual", self.end, lambda tick: loop.post(tick, self._deliver_labels, tick)
        )
        feedback = scenario.given.feedback
        self.reactions = Reactions(feedback, self.codec) if feedback else None
        self.sink = sinks.Sink(target.alerts, lambda: loop.now_ns)
        loop.network.serve(sinks.HOST, sinks.PORT, self.sink.protocol)
        self.seams = {name: Seam(name, scenario.seed) for name in (*target.seams, ALERT_SINK)}
        self.sink.gate = self.seams[ALERT_SINK].wrap(self.sink.gate)
        self.token = hashlib.blake2b(f"token:{scenario.seed}".encode(), digest_size=16).hexdigest()
        shutil.rmtree(spec.folder / "state", ignore_errors=True)  # what an earlier run left is not this one's past
        self.life = Life(loop, lambda: build(str(target.start.asgi), self._offered()))
        self.receipts: dict[str, ServiceReceipt] = {}
        self.sending = True
        self.was_ready: bool | None = None
        self.late_ns = 0
        self.attempts = 0
        self.outstanding: deque[Exchange] = deque()
        self.timeout = self.traffic.timeout
        self.timer_on = False
        path = self.codec.path
        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
            "method": "POST", "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"",
            "root_path": "", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
            "headers": [(b"host", b"service"), *self.codec.headers],
        }  # fmt: skip
        service_ns = tuple(time_given.ns(n) if time_given else 0 for n in range(rows + 1))
        cpu = VirtualCpu(loop, time_given.cores) if time_given else None
        # Where clients never try again and react to nothing, what is concluded needs no second look.
        concluded = self._concluded if self.traffic.retries or self.reactions else self.recorder.concluded
        self.client = Client(loop, self.life.app, scope, cpu, service_ns, concluded)
        self.requests: Iterator[Planned] = iter(())
        self.upcoming: Planned | None = None

    def _offered(self) -> dict[str, Any]:
        here = {
            "sink": f"http://{sinks.HOST}:{sinks.PORT}",
            "token": self.token,
            "here": str(self.spec.target_path.parent),
            "state": str(self.spec.folder / "state"),
            "bundles": offered(self.spec.scenario, self.spec.target, self.spec.target_path, self.spec.folder),
        }
        return {
            "settings": settings_of(self.spec, here),
            "clock": VirtualClock(self.loop),
            "seams": {name: seam.wrap for name, seam in self.seams.items()},
            "post": Post(self.loop, self.sink.receive),
        }

    # ------------------------------------------------------------ the run

    def go(self) -> str:
        """Everything up to the end of the run; the fault of the harness or of a guard rail, or an empty string."""
        loop, scenario = self.loop, self.spec.scenario
        try:
            loop.run_until_complete(self.life.start())
            self._next_chunk()
            loop.post(scenario.given.warmup, self._steady, None)
            for k, event in enumerate(scenario.when):
                if event.layer == "service":
                    loop.post(event.at, self._begin, (k, event))
            loop.post(self.watch_ns, self._count, None)
            if self.spec.target.monitors:
                loop.post(self.watch_ns, self._watch, None)
            if any(expectation.readiness for expectation in scenario.then):
                loop.post(SECOND, self._probe, None)
            loop.post(self.end // 50, self._tick, None)
            loop.post(self.end // 8, self._collect, None)
            loop.post(self.end - 1, self._last_words, None)
            loop.post(self.end, self._heal, None)
            loop.run_until(self.end + self.traffic.timeout + _GRACE)
            loop.run_until_complete(self.life.stop())
        except VirtualTimeError as error:
            return str(error)
        except Exception as error:
            logging.getLogger("seatrial").debug("run failed", exc_info=True)
            return f"{type(error).__name__}: {error}"
        return loop.violations[0] if loop.violations else ""

    def _tick(self, _: Any) -> None:
        self.progress(min(1.0, self.loop.now_ns / self.end))
        if self.loop.now_ns < self.end:
            self.loop.post(self.loop.now_ns + self.end // 50, self._tick, None)

    def _collect(self, _: Any) -> None:
        gc.collect()
        if self.loop.now_ns < self.end:
            self.loop.post(self.loop.now_ns + self.end // 8, self._collect, None)

    # ------------------------------------------------------------ requests

    def _next_chunk(self) -> None:
        chunk = next(self.chunks, None)
        if chunk is None:
            return
        self.requests = iter(self.recorder.take(chunk))
        self.upcoming = next(self.requests)
        self.loop.post(self.upcoming.scheduled_ns, self._arrive, None)

    def _arrive(self, _: Any) -> None:
        if not self.sending or self.upcoming is None:
            return
        planned, self.upcoming = self.upcoming, next(self.requests, None)
        # The next arrival is posted before the app runs: what the app does at this instant comes after it was sent.
        if self.upcoming is not None:
            self.loop.post(self.upcoming.scheduled_ns, self._arrive, None)
        else:
            self._next_chunk()
        if self.reactions is not None and not self.reactions.comes(planned, planned.scheduled_ns):
            self.recorder.withheld(planned)
            return
        if self.recorder.bad_ways and planned.item in self.recorder.bad_ways:
            self._start_badly(planned, self.recorder.bad_ways.pop(planned.item))
        else:
            self._start(Exchange(self.client, planned, planned.scheduled_ns))

    def _start(self, exchange: Exchange) -> None:
        loop, sent_ns = self.loop, exchange.sent_ns
        self.late_ns = max(self.late_ns, loop.now_ns - sent_ns)
        if self.life.up:
            loop.start_now(exchange.run())
        else:
            exchange.lose(Outcome.RESET)
        self._expect(exchange)

    def _expect(self, exchange: Exchange) -> None:
        """Wait for its answer, as long as the client does."""
        self.attempts += 1
        if not exchange.state:
            self.outstanding.append(exchange)
            if not self.timer_on:
                self.timer_on = True
                self.loop.post(exchange.sent_ns + self.timeout, self._timeouts, None)

    def _start_badly(self, planned: Planned, network: Network) -> None:
        """The first attempt, over a bad network."""
        by = network.by or 0
        if network.fault in {"latency", "loss"}:
            exchange = Exchange(self.client, planned, planned.scheduled_ns)
            self._expect(exchange)
            if network.fault == "latency":
                self.loop.post(planned.scheduled_ns + by, self._arrived, exchange)
        elif network.fault == "upload":
            slow = Slow(self.client, planned, planned.scheduled_ns)
            slow.over = by
            self._start(slow)
        else:
            self._start(Cut(self.client, planned, planned.scheduled_ns))

    def _arrived(self, exchange: Exchange) -> None:
        if exchange.state:
            return  # the client has gone
        if self.life.up:
            self.loop.start_now(exchange.run())
        else:
            exchange.lose(Outcome.RESET)

    def _timeouts(self, _: Any) -> None:
        # All timeouts are equally long, so the deque is in order and one timer serves all requests.
        waiting, sent_by = self.outstanding, self.loop.now_ns - self.timeout
        while waiting and (waiting[0].state or waiting[0].sent_ns <= sent_by):
            waiting.popleft().give_up()
        self.timer_on = bool(waiting)
        if waiting:
            self.loop.post(waiting[0].sent_ns + self.timeout, self._timeouts, None)

    def _concluded(self, exchange: Exchange) -> None:
        if exchange.attempt > self.traffic.retries or not self.sending or not self._unanswered(exchange):
            self.recorder.concluded(exchange)
            if self.reactions is not None:
                self.reactions.concluded(exchange)
            return
        wait = retry.wait_ns(exchange.attempt, exchange.planned.retry_u)
        again = Exchange(self.client, exchange.planned, self.loop.now_ns + wait, exchange.attempt + 1)
        self.loop.post(again.sent_ns, self._start, again)

    def _unanswered(self, exchange: Exchange) -> bool:
        """Whether a client would try again."""
        if exchange.failure is not None:
            return exchange.failure in retry.RETRIED
        return self.codec.decode(exchange.status, exchange.reply, len(exchange.planned.due)).outcome in retry.RETRIED

    # ------------------------------------------------------------ labels, events, observers

    def _deliver_labels(self, tick: int) -> None:
        post = self.spec.target.labels
        if post is not None and tick <= self.end:
            for batch in self.recorder.due(tick):
                self.loop.start_now(self._post_labels(post.post, batch))

    async def _post_labels(self, path: str, batch: list[Due]) -> None:
        status, _ = await self.life.call("POST", path, label_body(batch), self.token)
        if status < 300:  # noqa: PLR2004 - acknowledged
            self.recorder.labelled(batch, self.loop.now_ns)
        elif not self.life.up:
            self.recorder.undelivered(batch, self.loop.now_ns)

    def _steady(self, _: Any) -> None:
        holds, why = self.spec.steadiness(self.spec.scenario, self.recorder.warmup(self.sink.alerts))
        self._note("steady_state", holds=holds, why=why)
        self.sending = holds

    def _begin(self, named: tuple[int, Event]) -> None:
        k, event = named
        if not self.sending:
            self.receipts[event.event] = ServiceReceipt(NEVER, 1, 0, 0, detail="not injected: steady state not met")
        elif event.release is not None:
            self.loop.start_now(self._release(k, event))
        elif event.operator is not None:
            self.loop.start_now(self._operate(event))
        elif event.restart is not None:
            self._end_life(event)
        else:
            name = event.dependency.name if event.dependency else "model"
            params = event.params
            if name not in self.seams:
                detail = f"the target file names no seam {name!r}"
                self.receipts[event.event] = ServiceReceipt(NEVER, 1, 0, 0, supported=False, detail=detail)
                return
            self.seams[name].break_with(Fault(event.event, params.fault, params.by or 0, params.share))
            self.receipts[event.event] = ServiceReceipt(self.loop.now_ns, 1, 0, 0)
            if event.length is not None:
                self.loop.post(event.at + event.length, lambda _: self.seams[name].heal(), None)

    def _end_life(self, event: Event) -> None:
        """Stop the service, or kill it; whoever waits for an answer then loses the connection."""
        assert event.length is not None  # noqa: S101 - refused when the scenario is read
        self.receipts[event.event] = ServiceReceipt(self.loop.now_ns, 1, 0, 0, detail="it never started again")
        back = event.at + event.length
        if event.params.how == "stop":
            self.loop.start_now(self._stop(event, back))
            return
        for exchange in self.outstanding:
            exchange.lose(Outcome.RESET)
        self.life.kill()
        self.loop.post(back, self._revive, event)

    def _revive(self, event: Event) -> None:
        self.loop.start_now(self._begin_life(event))

    async def _stop(self, event: Event, back_ns: int) -> None:
        """As servers stop: no new connection, those that are open are served to the end, then the lifespan ends."""
        self.life.up = False
        while any(not exchange.state for exchange in self.outstanding):
            await Wait(self.loop, self.loop.now_ns + SECOND // 1000)
        await self.life.stop()
        await Wait(self.loop, max(back_ns, self.loop.now_ns))
        await self._begin_life(event)

    async def _begin_life(self, event: Event) -> None:
        receipt = self.receipts[event.event]
        try:
            self.client = self.client._replace(app=self.life.rebuild())
            await self.life.start()
        except Exception as error:  # noqa: BLE001 - whatever keeps it down belongs into the receipt
            self.receipts[event.event] = replace(receipt, detail=f"it does not start again: {error}")
            return
        self.receipts[event.event] = replace(receipt, delivered=1, potent=1, detail=event.params.how)
        self._note("action", what=f"restart, {event.params.how}", status=200, body="")

    async def _release(self, k: int, event: Event) -> None:
        release, admin = event.params, self.spec.target.admin
        through_seam = release.defect is not None or release.by == "shadow"
        if admin.release is None or (through_seam and "model" not in self.seams):
            lacks = "admin.release" if admin.release is None else "the seam `model`"
            self.receipts[event.event] = ServiceReceipt(
                NEVER, 1, 0, 0, supported=False, detail=f"the target file has no {lacks}"
            )
            return
        if release.defect:
            defect = release.defect
            fault = Fault(event.event, defect.fault, defect.by or 0, defect.share, first=release.version)
            self.seams["model"].break_with(fault)
        elif release.by == "shadow":
            self.seams["model"].watch(event.event, release.version)
        if release.by != "shadow":
            self.recorder.released(release.version, 1 << k)
        body = msgspec.json.encode({"version": release.version, "by": release.by, "share": release.share})
        status, answer = await self._admin(admin.release, body)
        accepted = status < 300  # noqa: PLR2004 - accepted
        if not accepted:
            self.recorder.released(release.version, 0)
        # A bundle that is not sound was delivered if there was an answer: a refusal is what ought to come.
        done = accepted or (release.bundle != "sound" and status in _REFUSALS)
        at = self.loop.now_ns if done else NEVER
        self.receipts[event.event] = ServiceReceipt(at, 1, int(done), int(done), detail=f"status {status}")
        self._note("action", what=f"release {release.version}", status=status, body=answer.decode("utf-8", "replace"))

    async def _operate(self, event: Event) -> None:
        action, body = action_of(event, self.spec.target.admin)
        if action is None:
            detail = f"the target file has no admin.{event.params.does}"
            self.receipts[event.event] = ServiceReceipt(NEVER, 1, 0, 0, supported=False, detail=detail)
            return
        status, answer = await self._admin(action, body)
        done = status < 300  # noqa: PLR2004 - accepted
        at = self.loop.now_ns if done else NEVER
        self.receipts[event.event] = ServiceReceipt(at, 1, int(done), int(done), detail=f"status {status}")
        self._note("action", what=event.params.does, status=status, body=answer.decode("utf-8", "replace"))

    async def _admin(self, action: str, body: bytes) -> tuple[int, bytes]:
        method, _, path = action.partition(" ")
        return await self.life.call(method, path, body, self.token)

    def _probe(self, _: Any) -> None:
        self.loop.start_now(self._ask_readiness())
        if self.loop.now_ns + SECOND < self.end:
            self.loop.post(self.loop.now_ns + SECOND, self._probe, None)

    async def _ask_readiness(self) -> None:
        """Asked every second; on record are changes, and one answer a minute as a sign of life."""
        path = self.spec.target.start.ready
        if path is None:
            return
        status, _ = await self.life.call("GET", path)
        ready = status == 200  # noqa: PLR2004 - as the target file says
        if ready != self.was_ready or self.loop.now_ns % MINUTE == 0:
            self._note("ready", ready=ready)
        self.was_ready = ready

    def _count(self, _: Any) -> None:
        """How often everybody was called so far: what an outage makes of it is held against the clean twin."""
        self._note("calls", service=self.attempts, **{name: seam.calls for name, seam in self.seams.items()})
        if self.loop.now_ns + self.watch_ns < self.end:
            self.loop.post(self.loop.now_ns + self.watch_ns, self._count, None)

    def _watch(self, _: Any) -> None:
        self.loop.start_now(self._observe("monitor", self.spec.target.monitors))
        if self.loop.now_ns + self.watch_ns < self.end:
            self.loop.post(self.loop.now_ns + self.watch_ns, self._watch, None)

    async def _observe(self, kind: str, path: str | None) -> None:
        if path is None:
            return
        status, body = await self.life.call("GET", path, token=self.token)
        if status != 200:  # noqa: PLR2004 - a refusal is worth knowing, too
            self._note("action", what=f"GET {path}", status=status, body=of_itself.shown(body))
            return
        said = of_itself.psi(body) if kind == "monitor" else of_itself.quality(body, EPOCH_NS)
        if said is None:
            self._note("action", what=f"GET {path}, not understood", status=status, body=of_itself.shown(body))
        else:
            self._note(kind, **said)

    def _last_words(self, _: Any) -> None:
        # The last instant that still belongs to the run: what the service says of itself now can be held against it.
        self.loop.start_now(self._observe("quality", self.spec.target.quality))

    def _heal(self, _: Any) -> None:
        for seam in self.seams.values():
            seam.heal()
        self._note("heal", healed=not any(seam.broken for seam in self.seams.values()), why="")

    def _note(self, kind: str, **data: Any) -> None:
        self.recorder.note(self.loop.now_ns, kind, **data)

    # ------------------------------------------------------------ the end

    def close(self, fault: str) -> History:
        """Write and seal the history."""
        for chunk in self.chunks:  # an interrupted run still knows what it had planned
            self.recorder.take(chunk)
        if fault:
            self._note("harness", fault=fault)
        # Virtual time waits for nobody, so this is 0; measured all the same, because a driver can be broken.
        self._note("driver", late_p99_ns=self.late_ns, late_max_ns=self.late_ns)
        if self.reactions is not None:
            r = self.reactions
            self._note("feedback", left=r.left, withheld=r.withheld, again=r.again)
        if self.capacity is not None:
            self._note("capacity", per_second=self.capacity)
        return self.recorder.close(self.sink.alerts, self.sink.notes, self._service_receipts())

    def _service_receipts(self) -> dict[str, ServiceReceipt]:
        done = {}
        for name, receipt in self.receipts.items():
            calls = next((s.receipts[name] for s in self.seams.values() if name in s.receipts), None)
            event = self.spec.scenario.event(name)
            if calls is None:
                done[name] = receipt
            elif event.release is not None:
                # The action was accepted; its defect counts only if the model was really called through the seam.
                done[name] = replace(receipt, potent=min(receipt.potent, calls.potent))
            else:
                # Planned: every call that the fault's share would take; at least one, or nothing was broken.
                planned = max(1, calls.taken if calls.seen else 1)
                done[name] = replace(receipt, planned=planned, delivered=calls.taken, potent=calls.potent)
        return done

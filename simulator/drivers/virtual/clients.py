"""Those who call the service: they send what is planned, wait, give up, try again, and react to decisions."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from simulator.drivers import retry
from simulator.drivers.feedback import Reactions
from simulator.drivers.record import Planned
from simulator.drivers.virtual.cpu import VirtualCpu
from simulator.drivers.virtual.exchange import Client, Exchange
from simulator.drivers.virtual.scene import Scene
from simulator.drivers.virtual.wire import Cut, HalfOpen, Slow
from simulator.history.schema import Outcome
from simulator.plan import Chunk
from simulator.scenario.disturbances import Network
from simulator.targets.protocol import Codec


class Clients:
    """All clients of one run.

    Args:
        scene: shared with the other parts of the run.
        chunks: of the plan, in order.
        codec: of the target's protocol.
    """

    def __init__(self, scene: Scene, chunks: Iterator[Chunk], codec: Codec) -> None:
        given, time_given = scene.spec.scenario.given, scene.spec.target.service_time
        self.scene = scene
        self.loop, self.recorder, self.life = scene.loop, scene.recorder, scene.life
        self.chunks = chunks
        self.codec = codec
        self.traffic = given.traffic
        self.reactions = Reactions(given.feedback, codec) if given.feedback else None
        self.late_ns = 0
        self.attempts = 0
        self.outstanding: deque[Exchange] = deque()
        self.timeout = self.traffic.timeout
        self.timer_on = False
        path = codec.path
        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
            "method": "POST", "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"",
            "root_path": "", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
            "headers": [(b"host", b"service"), *codec.headers],
        }  # fmt: skip
        service_ns = tuple(time_given.ns(n) if time_given else 0 for n in range(self.traffic.batch + 1))
        cpu = VirtualCpu(scene.loop, time_given.cores) if time_given else None
        # Where clients never try again and react to nothing, what is concluded needs no second look.
        concluded = self._concluded if self.traffic.retries or self.reactions else scene.recorder.concluded
        self.client = Client(scene.loop, scene.life.app, scope, cpu, service_ns, concluded)
        self.requests: Iterator[Planned] = iter(())
        self.upcoming: Planned | None = None

    def next_chunk(self) -> None:
        """Set out on what the plan holds next."""
        self.upcoming = None
        reactions, recorder, now_ns = self.reactions, self.recorder, self.loop.now_ns
        while self.upcoming is None and (chunk := next(self.chunks, None)) is not None:
            coming = None if reactions is None or recorder.whole else reactions.may_come(chunk, now_ns)
            self.requests = iter(recorder.take(chunk, coming))
            self.upcoming = self._next()
        if self.upcoming is not None:
            self.loop.post(self.upcoming.scheduled_ns, self._arrive, None)

    def _next(self) -> Planned | None:
        """The next one of this chunk. Second tries that will not be made are done with at once: they have no body."""
        planned = next(self.requests, None)
        while planned is not None and not planned.body and self._idle(planned):
            self.recorder.withheld(planned)
            planned = next(self.requests, None)
        return planned

    def _idle(self, planned: Planned) -> bool:
        # Who retries may be at it for longer than a client waits for one answer.
        ended_ns = self.loop.now_ns - self.timeout
        return self.reactions is not None and not self.traffic.retries and self.reactions.idle(planned, ended_ns)

    def _arrive(self, _: Any) -> None:
        if not self.scene.sending or self.upcoming is None:
            return
        planned, self.upcoming = self.upcoming, self._next()
        # The next arrival is posted before the app runs: what the app does at this instant comes after it was sent.
        if self.upcoming is not None:
            self.loop.post(self.upcoming.scheduled_ns, self._arrive, None)
        else:
            self.next_chunk()
        if self.reactions is not None:
            coming = self.reactions.comes(planned, planned.scheduled_ns)
            if coming is None:
                self.recorder.withheld(planned)
                return
            planned = coming
        if self.recorder.bad_ways and planned.item in self.recorder.bad_ways:
            self._start_badly(planned, self.recorder.bad_ways.pop(planned.item))
        else:
            self._start(Exchange(self.client, planned, planned.scheduled_ns))

    def _start(self, exchange: Exchange) -> None:
        loop, sent_ns = self.loop, exchange.sent_ns
        late_ns = loop.now_ns - sent_ns
        if late_ns > self.late_ns:  # noqa: PLR1730 - max() costs a call
            self.late_ns = late_ns
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
        elif network.fault == "partition":
            exchange = Exchange(self.client, planned, planned.scheduled_ns)
            exchange.lose(Outcome.RESET)
            self._expect(exchange)
        else:
            kind = HalfOpen if network.fault == "half_open" else Cut
            self._start(kind(self.client, planned, planned.scheduled_ns))

    def _arrived(self, exchange: Exchange) -> None:
        if exchange.state:
            return  # the client has gone
        exchange.reach(self.client)
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
        if exchange.attempt > self.traffic.retries or not self.scene.sending or not self._unanswered(exchange):
            self.recorder.concluded(exchange)
            if self.reactions is not None:
                self.reactions.concluded(exchange)
            return
        wait = retry.wait_ns(exchange.attempt, exchange.planned.retry_u)
        self.loop.post(self.loop.now_ns + wait, self._again, exchange)

    def _again(self, exchange: Exchange) -> None:
        """Made when it is sent: whoever serves by then gets it, and not a process that has died meanwhile."""
        self._start(Exchange(self.client, exchange.planned, self.loop.now_ns, exchange.attempt + 1))

    def _unanswered(self, exchange: Exchange) -> bool:
        """Whether a client would try again."""
        if exchange.failure is not None:
            return exchange.failure in retry.RETRIED
        return self.codec.decode(exchange.status, exchange.reply, len(exchange.planned.due)).outcome in retry.RETRIED

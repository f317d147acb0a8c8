"""One worker's shard of one run, sent in an open loop inside Locust's own event loop.

A request leaves at its moment, in a greenlet of its own, however many are still unanswered; no simulated user waits
for anything. Latencies count from the scheduled moment, and so do those that Locust is told.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from zlib import crc32

import gevent
import gevent.event

from simulator.drivers import retry
from simulator.drivers.answer import Answer
from simulator.drivers.locust.frames import (
    Astray,
    Done,
    Entry,
    Frame,
    Go,
    Halt,
    Job,
    Parcel,
    Ping,
    Pong,
    Report,
    Shipment,
    Way,
)  # fmt: skip
from simulator.drivers.locust.wire import Wire, takes_connections
from simulator.history.schema import NEVER, Outcome

_REPORT_EVERY: Final = 0.1  # seconds
_ASTRAY_AFTER: Final = 5.0  # seconds for a fault proxy to take a connection
_MS: Final = 1e6

# (name, path, response time in ms, bytes, what went wrong)
Fire = Callable[[str, str, float, int, Exception | None], None]


class Unanswered(Exception):  # noqa: N818 - says what was the case; Locust shows it
    """The request got no answer that counts."""


_WHY: Final = {Outcome.TIMEOUT: "no answer within the timeout", Outcome.RESET: "connection refused, reset or broken"}


class Worker:
    """Takes frames from the master through `hear`; answers through `tell`, and feeds Locust through `fire`."""

    def __init__(self, tell: Callable[[Frame], None], fire: Fire) -> None:
        self._tell, self._fire = tell, fire
        self._shard: _Shard | None = None

    def hear(self, frame: Frame) -> None:
        """Whatever the master sends, in order."""
        if isinstance(frame, Ping):
            self._tell(Pong(frame.sent_ns, time.monotonic_ns()))
        elif isinstance(frame, Job):
            self.stop()
            self._shard = _Shard(frame, self._tell, self._fire)
        elif self._shard is None:
            return
        elif isinstance(frame, Parcel):
            self._shard.take(frame)
        elif isinstance(frame, Go):
            self._shard.go(frame.zero_ns)
        elif isinstance(frame, Halt):
            self._shard.halted = True
            self._shard.more.set()

    def stop(self) -> None:
        """Drop the run at hand, if there is one."""
        if self._shard is not None:
            self._shard.stop()
            self._shard = None


@dataclass(slots=True)
class _Shard:
    job: Job
    tell: Callable[[Frame], None]
    fire: Fire
    waiting: deque[Shipment] = field(default_factory=deque)
    more: gevent.event.Event = field(default_factory=gevent.event.Event)
    ended: list[Entry] = field(default_factory=list)
    greenlets: list[gevent.Greenlet] = field(default_factory=list)
    under_way: set[gevent.Greenlet] = field(default_factory=set)
    complete: bool = False  # nothing more will be shipped
    halted: bool = False
    worker: int = 0
    zero_ns: int = 0
    wires: list[Wire] = field(init=False)  # one a way of the job's, then the straight one: way -1

    def __post_init__(self) -> None:
        job = self.job
        vias = [*((way.host, way.port) for way in job.ways), None]
        self.wires = [Wire(job.url, job.path, job.headers, job.timeout_ns, self.now, via=via) for via in vias]
        self.greenlets = [gevent.spawn(self.try_way, way) for way in job.ways if not way.parted]

    def try_way(self, way: Way) -> None:
        """A refused connection looks like a fault; one that a proxy elsewhere never saw is none."""
        if not takes_connections((way.host, way.port), _ASTRAY_AFTER):
            self.tell(Astray(self.job.run, f"{way.host}:{way.port}"))

    def now(self) -> int:
        """Nanoseconds since the plan's zero."""
        return time.monotonic_ns() - self.zero_ns

    def take(self, parcel: Parcel) -> None:
        self.worker = parcel.worker
        self.waiting.extend(parcel.shipments)
        self.complete = self.complete or parcel.last
        self.more.set()

    def go(self, zero_ns: int) -> None:
        self.zero_ns = zero_ns
        self.greenlets += [gevent.spawn(self.send_all), gevent.spawn(self.report_often)]

    def stop(self) -> None:
        gevent.killall([*self.greenlets, *self.under_way], block=False)
        self.close()

    def close(self) -> None:
        for wire in self.wires:
            wire.close()

    def send_all(self) -> None:
        while not self.halted:
            if not self.waiting:
                if self.complete:
                    break
                self.more.clear()
                self.more.wait()
                continue
            wait = self.waiting[0].scheduled_ns - self.now()
            if wait > 0:
                self.more.clear()
                self.more.wait(wait / 1e9)  # a halt must not wait for the next request
                continue
            request = gevent.spawn(self.send, self.waiting.popleft())
            self.under_way.add(request)
            request.rawlink(self.under_way.discard)
        gevent.joinall(list(self.under_way))
        self.report()
        self.close()
        self.tell(Done(self.job.run, self.worker))

    def send(self, shipment: Shipment) -> None:
        answer, attempt = self.wires[shipment.way].post(shipment.body, shipment.key), 1
        first_ns = answer.sent_ns if answer.sent_ns != NEVER else answer.ended_ns
        while attempt <= self.job.retries and not self.halted and self.again(answer):
            gevent.sleep(retry.wait_ns(attempt, shipment.retry_u) / 1e9)
            answer, attempt = self.wires[-1].post(shipment.body, shipment.key), attempt + 1
        failure = NEVER if answer.failure is None else int(answer.failure)
        self.ended.append(
            Entry(
                shipment.request, answer.sent_ns, answer.replied_ns, answer.ended_ns, answer.status,
                crc32(shipment.body), answer.body, failure, attempt, max(0, answer.sent_ns - first_ns),
            )
        )  # fmt: skip
        took = (answer.ended_ns - shipment.scheduled_ns) / _MS
        self.fire(self.job.name, self.job.path, took, len(answer.body), self.wrong(answer))

    def again(self, answer: Answer) -> bool:
        """Whether a client would try again."""
        return answer.failure in retry.RETRIED if answer.failure is not None else answer.status in self.job.shed

    def wrong(self, answer: Answer) -> Exception | None:
        if answer.failure is not None:
            return Unanswered(_WHY[answer.failure])
        good = 200 <= answer.status < 300 or answer.status in self.job.fine  # noqa: PLR2004 - HTTP's success range
        return None if good else Unanswered(f"status {answer.status}")

    def report_often(self) -> None:
        while True:
            gevent.sleep(_REPORT_EVERY)
            self.report()

    def report(self) -> None:
        if self.ended:
            ended, self.ended = self.ended, []
            self.tell(Report(self.job.run, self.worker, tuple(ended)))

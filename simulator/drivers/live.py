"""The live driver: the same plan over real sockets, open loop, latency from the scheduled send.

Open loop: a request is sent when the plan says, however many are still unanswered, so that a slow service cannot
slow its own load down (coordinated omission). How late the driver itself was is recorded and judged.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Final

from simulator.drivers import retry
from simulator.drivers.answer import Answer
from simulator.drivers.record import Planned
from simulator.drivers.spec import RunSpec
from simulator.drivers.voyage import Progress, Sent, Voyage
from simulator.drivers.wire import PreciseLoop, Wire
from simulator.history.schema import History
from simulator.scenario.quantities import SECOND

_AT_ONCE: Final = 16  # requests sent before replies get their turn, when the driver is behind
_LOOK_EVERY: Final = 0.02  # seconds


def run_live(spec: RunSpec, progress: Progress = lambda _: None) -> History:
    """Carry out one run in real time and seal its history in ``spec.folder``.

    Raises:
        TargetDown: The target did not start, or does not answer its ready path.
    """
    with asyncio.Runner(loop_factory=PreciseLoop) as runner:
        return runner.run(Voyage(spec, progress, "live").go(Sockets()))


class Sockets:
    """Sends from this very process; a `simulator.drivers.voyage.Sender`."""

    def __init__(self) -> None:
        self._unanswered = 0
        self._wire: Wire
        self._bad: dict[int, Wire] = {}

    async def prepare(self, voyage: Voyage, url: str) -> None:
        """The requests are ready."""
        timeout = voyage.spec.scenario.given.traffic.timeout
        path, headers, now = voyage.codec.path, voyage.headers, voyage.now
        loop = asyncio.get_running_loop()
        assert isinstance(loop, PreciseLoop)  # noqa: S101 - the runs of this driver are on one

        def arrived() -> int:
            return loop.woke_ns - voyage.zero_ns

        def wire(via: tuple[str, int] | None = None) -> Wire:
            return Wire(url, path, headers, timeout, now, via=via, arrived=arrived)

        self._wire = wire()
        self._bad = {way: wire(via) for way, via in voyage.ways.items()}

    async def send(self, voyage: Voyage) -> None:
        """Each request at its moment, whatever became of the others."""
        told = behind = 0
        for planned in voyage.requests:
            if voyage.now() < planned.scheduled_ns:
                await voyage.until(planned.scheduled_ns)
                behind = 0
            elif (behind := behind + 1) % _AT_ONCE == 0:
                await asyncio.sleep(0)
            if not voyage.sending:
                break
            voyage.lateness.append(max(0, voyage.now() - planned.scheduled_ns))
            self._unanswered += 1
            self._post(voyage, planned, 1)
            if planned.scheduled_ns * 50 // voyage.end > told:
                told = planned.scheduled_ns * 50 // voyage.end
                voyage.progress(told / 50)

    async def finish(self, voyage: Voyage) -> None:
        """Until the last request is answered or given up, its retries included."""
        traffic = voyage.spec.scenario.given.traffic
        deadline = time.monotonic() + retry.patience_ns(traffic.timeout, traffic.retries) / SECOND + 1
        while self._unanswered and time.monotonic() < deadline:  # noqa: ASYNC110 - two reasons to go on
            await asyncio.sleep(_LOOK_EVERY)
        for wire in (self._wire, *self._bad.values()):
            wire.close()

    def _post(self, voyage: Voyage, planned: Planned, attempt: int) -> None:
        network = voyage.recorder.bad_ways.get(planned.item) if attempt == 1 and self._bad else None
        wire = self._wire if network is None else self._bad[id(network)]
        wire.post(planned.body, partial(self._answered, voyage, planned, attempt), planned.key)

    def _answered(self, voyage: Voyage, planned: Planned, attempt: int, answer: Answer) -> None:
        sent_ns, replied_ns, ended_ns, status, body, failure = answer
        sent = Sent(planned, sent_ns, replied_ns, replied_ns, ended_ns, attempt, status, body, failure)
        if attempt <= voyage.spec.scenario.given.traffic.retries and voyage.sending and _again(voyage, sent):
            wait = retry.wait_ns(attempt, planned.retry_u) / SECOND
            asyncio.get_running_loop().call_later(wait, self._post, voyage, planned, attempt + 1)
            return
        self._unanswered -= 1
        voyage.recorder.concluded(sent)


def _again(voyage: Voyage, sent: Sent) -> bool:
    """Whether a client would try again."""
    if sent.failure is not None:
        return sent.failure in retry.RETRIED
    return voyage.codec.decode(sent.status, sent.reply, len(sent.planned.due)).outcome in retry.RETRIED

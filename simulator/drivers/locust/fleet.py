"""The run's side of the fleet: ships the plan ahead of its time, and merges what the workers report into one history.

Nothing is taken on trust: every request is reported at most once, with the digest of the bytes that were sent. A
request that nobody reports counts as late: the driver could not hold the plan, and no finding may stand on that.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import AsyncIterator
from typing import Final
from zlib import crc32

from simulator.drivers.locust import launch
from simulator.drivers.locust.frames import (
    HEAD,
    Astray,
    Done,
    Enlist,
    Entry,
    Frame,
    Go,
    Halt,
    Hello,
    Job,
    Lost,
    Parcel,
    Report,
    Sync,
    Synced,
    Way,
    framed,
    unpack,
)  # fmt: skip
from simulator.drivers.locust.launch import NoFleet
from simulator.drivers.locust.shards import parcels
from simulator.drivers.record import Planned
from simulator.drivers.retry import patience_ns
from simulator.drivers.spec import RunSpec
from simulator.drivers.start import free_port
from simulator.drivers.voyage import Progress, Sent, Voyage
from simulator.history.schema import NEVER, History, Outcome
from simulator.scenario.quantities import SECOND

AHEAD: Final = 30 * SECOND  # how far before its time a request is shipped
_LOOK_EVERY: Final = 0.1  # seconds
_GRACE: Final = 10.0  # seconds after the last timeout for a worker's last report
_START_WITHIN: Final = 60.0  # seconds for a fleet to be complete


def run_fleet(spec: RunSpec, progress: Progress = lambda _: None) -> History:
    """Carry out one run in real time with a fleet of Locust workers, and seal its history in ``spec.folder``.

    The fleet is the one that the environment names, or one of its own.

    Raises:
        NoFleet: There is none, it was told to stop, or it did not send what the plan says.
        TargetDown: The target did not start, or does not answer its ready path.
    """

    async def go() -> History:
        async with _enlisted() as (reader, writer):
            return await Voyage(spec, progress, "locust").go(Fleet(reader, writer))

    return asyncio.run(go())


class Fleet:
    """Sends a plan through Locust's workers; a `simulator.drivers.voyage.Sender`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._run = secrets.token_hex(8)
        self._workers = 0
        self._errors: tuple[int, ...] = ()
        self._reported = bytearray()
        self._shipped = 0
        self._through: set[int] = set()  # workers that are done, or lost
        self._lost: set[int] = set()
        self._drift = 0
        self._ways: dict[int, int] = {}  # id of an event's network → which of the job's ways
        self._fault: BaseException | None = None
        self._ears: asyncio.Task[None] | None = None

    async def prepare(self, voyage: Voyage, url: str) -> None:
        """Hand out the job and the first parcels, and compare clocks."""
        self._workers = await _hello(self._reader)
        spec, codec = voyage.spec, voyage.codec
        fine = (*spec.target.errors.reject, *spec.target.errors.shed)
        timeout = spec.scenario.given.traffic.timeout
        self._reported = bytearray(len(voyage.requests))
        self._say(
            Job(
                self._run, _name(spec), url, codec.path, tuple(voyage.headers), timeout, fine, spec.target.errors.shed,
                spec.scenario.given.traffic.retries, self._lay(voyage),
            )
        )  # fmt: skip
        self._ship(voyage, AHEAD)
        self._say(Sync())
        await self._writer.drain()
        while not isinstance(frame := await _read(self._reader), Synced):
            if isinstance(frame, Lost):
                raise NoFleet("a worker was lost before the run began")
            self._take(voyage, frame)
        self._errors = frame.errors_ns

    async def send(self, voyage: Voyage) -> None:
        """Start the workers' clocks, keep them supplied, and take their reports, until the plan is through."""
        self._say(Go(voyage.zero_ns))
        self._ears = asyncio.get_running_loop().create_task(self._listen(voyage))
        last = voyage.requests[-1].scheduled_ns if voyage.requests else 0
        while (now := voyage.now()) <= last or self._shipped < len(voyage.requests):
            if self._fault is not None:
                raise self._fault
            if not voyage.sending:
                self._say(Halt())
                break
            self._ship(voyage, now + AHEAD)
            await self._writer.drain()
            voyage.progress(min(1.0, max(0.0, now / voyage.end)))
            await asyncio.sleep(_LOOK_EVERY)

    async def finish(self, voyage: Voyage) -> None:
        """Wait for the last reports; what is missing then was not sent as far as anybody knows."""
        traffic = voyage.spec.scenario.given.traffic
        patience = patience_ns(traffic.timeout, traffic.retries) / SECOND + _GRACE
        deadline = time.monotonic() + patience
        while len(self._through) < self._workers and self._fault is None and time.monotonic() < deadline:  # noqa: ASYNC110 - three reasons to go on
            await asyncio.sleep(_LOOK_EVERY)
        if self._ears is not None:
            self._ears.cancel()  # what comes later is too late
        if self._fault is not None:
            raise self._fault
        missing = 0
        if voyage.sending:
            missing = self._reported.count(0)
            voyage.lateness += [voyage.end] * missing  # later than the whole run
        voyage.lateness = [late + self._drift for late in voyage.lateness]
        voyage.recorder.note(
            voyage.now(), "fleet", workers=self._workers, lost=len(self._lost), unreported=missing,
            clock_error_ns=max(self._errors, default=0), clock_drift_ns=self._drift,
        )  # fmt: skip

    def _lay(self, voyage: Voyage) -> tuple[Way, ...]:
        """The ways of a bad network, in the order that shipments count them by."""
        spoilt = [event.network for event in voyage.spec.scenario.when if event.network is not None]
        self._ways = {id(network): k for k, network in enumerate(spoilt)}
        return tuple(Way(*voyage.ways[id(network)], network.fault == "partition") for network in spoilt)

    def _ship(self, voyage: Voyage, until_ns: int) -> None:
        plan, first, bad_ways = voyage.requests, self._shipped, voyage.recorder.bad_ways

        def way(planned: Planned) -> int:
            network = bad_ways.get(planned.item)
            return -1 if network is None else self._ways[id(network)]

        last = first
        while last < len(plan) and plan[last].scheduled_ns <= until_ns:
            last += 1
        for worker, shipments in parcels(plan, self._workers, first, last, way):
            self._say(Parcel(worker, tuple(shipments)))
        self._shipped = last
        if last == len(plan) and (last > first or not plan):
            for worker in range(self._workers):
                self._say(Parcel(worker, (), last=True))

    async def _listen(self, voyage: Voyage) -> None:
        try:
            while True:
                self._take(voyage, await _read(self._reader))
        except Exception as error:  # noqa: BLE001 - it is raised where the run can heal
            self._fault = error

    def _take(self, voyage: Voyage, frame: Frame) -> None:
        if isinstance(frame, Report) and frame.run == self._run:
            error = self._errors[frame.worker]
            for entry in frame.entries:
                self._conclude(voyage, entry, error)
        elif isinstance(frame, Done) and frame.run == self._run:
            self._through.add(frame.worker)
            self._drift = max(self._drift, frame.drift_ns)
        elif isinstance(frame, Astray) and frame.run == self._run:
            raise NoFleet(
                f"a worker does not reach the fault proxy at {frame.way}; workers on other machines need a `toxiproxy`"
                " in the target file that they reach"
            )
        elif isinstance(frame, Lost):
            if frame.worker < 0:
                raise NoFleet("the fleet was told to stop before the run was over")
            self._through.add(frame.worker)
            self._lost.add(frame.worker)

    def _conclude(self, voyage: Voyage, entry: Entry, clock_error_ns: int) -> None:
        planned = voyage.requests[entry.request]
        if self._reported[entry.request]:
            raise NoFleet(f"request {planned.request_id} was reported twice")
        if entry.digest != crc32(planned.body):
            raise NoFleet(f"request {planned.request_id} was sent with other bytes than planned")
        self._reported[entry.request] = 1
        if entry.sent_ns == NEVER:
            voyage.lateness.append(voyage.end)
            return
        voyage.lateness.append(max(0, entry.sent_ns - entry.earlier_ns - planned.scheduled_ns) + clock_error_ns)
        failure = None if entry.failure < 0 else Outcome(entry.failure)
        voyage.recorder.concluded(
            Sent(
                planned, entry.sent_ns, entry.replied_ns, entry.replied_ns, entry.ended_ns, entry.attempt, entry.status,
                entry.reply, failure,
            )
        )  # fmt: skip

    def _say(self, frame: Frame) -> None:
        self._writer.write(framed(frame))


def _name(spec: RunSpec) -> str:
    """``unit_change main``: how Locust's statistics call the run."""
    stem = spec.path.replace("\\", "/").rpartition("/")[2].partition(".")[0]
    return f"{stem} {spec.role}"


# ---------------------------------------------------------------- reaching a fleet


@contextlib.asynccontextmanager
async def _enlisted() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    address = os.environ.get(launch.FLEET)
    async with _own() if address is None else contextlib.nullcontext((address, None)) as (where, process):
        port, _, token = where.partition(":")
        reader, writer = await _connected(int(port), process)
        try:
            writer.write(framed(Enlist(token)))
            yield reader, writer
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def _own() -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """A fleet for this run alone."""
    address = f"{free_port()}:{secrets.token_urlsafe(24)}"
    processes = int(os.environ.get(launch.PROCESSES) or 1)
    process = await asyncio.create_subprocess_exec(
        *launch.fleet(processes, free_port()), env=launch.environment(address), start_new_session=True,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield address, process
    finally:
        # The fleet leaves when its run has left; what does not is ended.
        try:
            await asyncio.wait_for(process.wait(), _GRACE)
        except TimeoutError:
            process.terminate()
            await process.wait()


async def _connected(
    port: int, process: asyncio.subprocess.Process | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    deadline = time.monotonic() + (_START_WITHIN if process is not None else 0)
    while True:
        if process is not None and process.returncode is not None:
            raise NoFleet(f"Locust ended with code {process.returncode} before the run began")
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            if writer.get_extra_info("sockname") != writer.get_extra_info("peername"):
                return reader, writer
            writer.close()  # where nobody listens yet, a socket may happen to reach itself
        except OSError as error:
            if time.monotonic() >= deadline:
                raise NoFleet("no fleet answers where the environment says that there is one") from error
        await asyncio.sleep(0.1)


async def _hello(reader: asyncio.StreamReader) -> int:
    try:
        frame = await asyncio.wait_for(_read(reader), _START_WITHIN)
    except TimeoutError as error:
        raise NoFleet(f"the fleet was not complete within {_START_WITHIN:.0f} s") from error
    if not isinstance(frame, Hello) or frame.workers < 1:
        raise NoFleet("the fleet has no worker")
    return frame.workers


async def _read(reader: asyncio.StreamReader) -> Frame:
    try:
        head = await reader.readexactly(HEAD)
        return unpack(await reader.readexactly(int.from_bytes(head, "big")))
    except (asyncio.IncompleteReadError, OSError) as error:
        raise NoFleet("the fleet is gone") from error

"""Faults of the service's own processes, in real time: gone and back, frozen, starved of CPU or of memory.

Each happened if that was seen: nobody answers at the service's address while it is gone, every process is in state T,
a share of CPU time was used up, the address space reached its limit or a process died of it.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import urlsplit

from simulator.drivers import hold
from simulator.drivers.process import Process
from simulator.drivers.receipts import ServiceReceipt
from simulator.drivers.start import Service, TargetDown
from simulator.history.schema import NEVER
from simulator.scenario.verbs import Event

_ANSWERS_WITHIN: Final = 1.0  # seconds to refuse a connection, on this machine
_LIFTS_WITHIN: Final = 10.0
_LOOK_EVERY: Final = 0.01


class ProcessFaults:
    """Makes them happen, leaves a receipt of each in `receipts`, and lifts whatever is still on when the run ends."""

    def __init__(
        self, service: Service, now: Callable[[], int], until: Callable[[int], Awaitable[None]],
        receipts: dict[str, ServiceReceipt],
    ) -> None:  # fmt: skip
        self._service, self._now, self._until, self._receipts = service, now, until, receipts
        self._holds: list[_Hold] = []
        self._ended = 0  # how often a restart has ended the service

    async def befall(self, event: Event, end_ns: int) -> str:
        """One event, until it is over at `end_ns`; in words what was done."""
        process = self._service.process
        if process is None or sys.platform != "linux":
            why = "this target was not started by seatrial" if process is None else "it needs Linux and its /proc"
            self._receipts[event.event] = ServiceReceipt(NEVER, 1, 0, 0, supported=False, detail=why)
            return why
        if event.restart is not None:
            return await self._restart(event, process, end_ns)
        return await self._hold(event, process, end_ns)

    async def _restart(self, event: Event, process: Process, end_ns: int) -> str:
        how, since = event.params.how, self._now()
        self._receipts[event.event] = ServiceReceipt(since, 1, 0, 0, detail="it was never seen to be gone")
        what, there = "SIGKILL", bool(hold.session_of(process.session))
        self._ended += 1
        if how == "stop":
            what = "SIGTERM" if await process.end() else "SIGTERM, and SIGKILL as it did not end by itself"
        else:
            await process.kill()
        refused = await _refused(self._service.url)
        seen = "connections were refused" if refused else "something still answers at its address"
        if not there:
            what = "nothing was there to be ended: it had gone by itself"
        self._receipts[event.event] = ServiceReceipt(since, 1, 1, int(refused and there), detail=f"{what}; {seen}")
        await self._until(end_ns)
        return f"restart, {how}: {what}; {seen}; {await self._again()}"

    async def _hold(self, event: Event, process: Process, end_ns: int) -> str:
        kept, session, ended = _Hold(), process.session, self._ended
        self._holds.append(kept)
        why = "the run ended before it was lifted"
        self._receipts[event.event] = ServiceReceipt(NEVER, 1, 0, 0, detail=why)
        said = await kept.put_on(session, event.verb, *(str(amount) for amount in event.params.model_dump().values()))
        since, answered = self._now(), False
        if said["holds"]:
            # Before the half of it is over: the processes that stand still may not be those that serve.
            within = min(_ANSWERS_WITHIN, (end_ns - since) / 2e9)
            answered = event.verb == "pause" and await _answers(self._service.url, within)
            await self._until(end_ns)
        saw = await kept.lift()
        if not said["holds"] or saw is None:
            self._receipts[event.event] = ServiceReceipt(NEVER, 1, 0, 0, detail=said["why"])
            return f"{event.verb}: {said['why']}"
        units, bit, why = saw["units"], saw["bit"], saw["why"]
        if answered:
            bit, why = 0, "something still answers at its address"
        if process.session != session or self._ended != ended:
            bit, why = 0, "the service was restarted meanwhile, and its new processes were not touched"
        self._receipts[event.event] = ServiceReceipt(since, units, units, bit, detail=why)
        # Whoever ended it starts it again; we do so where it died of this.
        died = process.code is not None and self._ended == ended
        return f"{event.verb}: {why}; {await self._again()}" if died else f"{event.verb}: {why}"

    async def _again(self) -> str:
        try:
            await self._service.again()
        except (TargetDown, OSError) as error:
            return f"it did not start again: {error}"  # which is for the expectations to judge
        return "it was started again"

    async def whole(self) -> str | None:
        """Lift everything, and look; what is still broken, or None."""
        for kept in self._holds:
            await kept.lift()
        process = self._service.process
        stopped, until = 0, time.monotonic() + _ANSWERS_WITHIN
        # One that was interrupted while it was lifted takes a moment, and the kernel has no event to wait for.
        while process is not None and (stopped := hold.stopped(process.session)[0]) and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_EVERY)
        return f"{stopped} processes of the service are still stopped" if stopped else None


class _Hold:
    """`hold.py` as a process of its own, which lifts what it holds when its input ends, also when we die.

    Not one of asyncio's: those are killed with the loop, and could not lift anything any more.
    """

    def __init__(self) -> None:
        self._keeper: subprocess.Popen[bytes] | None = None

    async def put_on(self, session: int, *what: str) -> dict[str, Any]:
        """Whether it holds, and why or why not."""
        keeper = self._keeper = subprocess.Popen(  # noqa: ASYNC220, S603 - ours, and as quick as asyncio's own
            [sys.executable, "-I", "-S", hold.__file__, str(session), *what],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        assert keeper.stdout is not None  # noqa: S101 - a pipe
        line = await asyncio.to_thread(keeper.stdout.readline)
        said: dict[str, Any] = json.loads(line) if line else {"holds": False, "why": "what was to hold it has died"}
        return said

    async def lift(self) -> dict[str, Any] | None:
        """What it saw; None if it was never on, or is off already."""
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return None
        try:
            said, _ = await asyncio.to_thread(keeper.communicate, timeout=_LIFTS_WITHIN)
        except subprocess.TimeoutExpired:
            keeper.kill()
            return None
        saw: dict[str, Any] | None = json.loads(said.splitlines()[-1]) if said else None
        return saw


async def _refused(url: str) -> bool:
    """Whether nobody listens at the service's address, at none of those that its name stands for."""
    host, port = _address(url)
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return all([await _refuses(str(address[0]), port) for *_, address in found])


async def _refuses(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), _ANSWERS_WITHIN)
    except ConnectionRefusedError:
        return True
    except (OSError, TimeoutError):
        return False
    writer.close()
    return False


async def _answers(url: str, within: float) -> bool:
    """Whether a request to the service gets a byte. A connection alone says nothing: the kernel makes it."""
    host, port = _address(url)
    try:
        async with asyncio.timeout(within):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(f"GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
                return bool(await reader.read(1))
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)

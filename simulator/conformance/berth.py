"""The server as a process of ours: started, asked whether it is ready, signalled, and always stopped by its pid."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from simulator.drivers.spec import substitute
from simulator.drivers.start import TargetDown, free_port
from simulator.targets.model import Target

_START_WITHIN: Final = 120.0
STOP_WITHIN: Final = 30.0
_HELPERS: Final = ("resource_tracker", "semaphore_tracker")  # of Python's multiprocessing: they serve nobody


@dataclass(slots=True)
class Berth:
    """Where one server lies. `process` is None for a server that somebody else runs: it is asked, never signalled."""

    target: Target
    url: str
    command: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    token: str = ""
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the command, in a session of its own; does not wait."""
        self.process = await asyncio.create_subprocess_exec(
            *self.command, env=os.environ | self.environment, start_new_session=True,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip

    @property
    def running(self) -> bool:
        """Whether our process lives."""
        return self.process is not None and self.process.returncode is None

    def client(self, seconds: float = 30.0) -> httpx.AsyncClient:
        """A client of its own connections; each request is given up after `seconds`."""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        return httpx.AsyncClient(base_url=self.url, timeout=seconds, limits=limits, trust_env=False)

    async def ready(self, http: httpx.AsyncClient) -> int:
        """The status of the ready path; 0 without an answer."""
        try:
            return (await http.get(self.target.start.ready or "/")).status_code
        except httpx.TransportError:
            return 0

    async def until_ready(self) -> None:
        """Poll the ready path. Raises TargetDown with the last thing seen."""
        deadline, last = time.monotonic() + _START_WITHIN, 0
        async with self.client(5.0) as http:
            while time.monotonic() < deadline:
                if self.process is not None and self.process.returncode is not None:
                    code = self.process.returncode
                    raise TargetDown(f"the target's command ended with code {code} before it was ready")
                last = await self.ready(http)
                if last == 200 or (last and self.target.start.ready is None):  # noqa: PLR2004 - OK
                    return
                await asyncio.sleep(0.05)
        raise TargetDown(f"{self.url}{self.target.start.ready or '/'} was not ready in time; last status: {last}")

    def children(self) -> list[int]:
        """Processes that ours started, and theirs, without those that serve nobody. Linux only: reads /proc.

        In the order of their command lines, so that the second is the same one after a new start, too; what is
        started side by side has its pids in any order.
        """
        if self.process is None:
            return []
        parents = _parents()
        found, edge = [], {self.process.pid}
        while edge:
            edge = {pid for pid, parent in parents.items() if parent in edge}
            found += sorted(edge, key=lambda pid: (_command(pid), pid))
        return [pid for pid in found if not any(word in _command(pid) for word in _HELPERS)]

    async def ended(self, seconds: float = STOP_WITHIN) -> bool:
        """Wait for the process to end by itself."""
        if self.process is None:
            return False
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.process.wait(), seconds)
        return not self.running

    async def stop(self) -> None:
        """TERM, then KILL; then whatever is left of its session, which nobody else can be in."""
        if self.process is None:
            return
        if self.running:
            self.process.terminate()
            await self.ended(10.0)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()

    async def again(self) -> None:
        """Stop what is there, start it anew and wait until it is ready."""
        await self.stop()
        await self.start()
        await self.until_ready()


def _parents() -> dict[int, int]:
    """Pid → its parent, of all living processes."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            state, parent = entry.read_text().rpartition(")")[2].split()[:2]
            if state not in {"Z", "X"}:
                found[int(entry.parent.name)] = int(parent)
    return found


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


@contextlib.asynccontextmanager
async def moored(target: Target, path: Path) -> AsyncIterator[Berth]:
    """The target at its url: started if it has a command, and stopped at the end. Raises TargetDown."""
    start = target.start
    if start.url is None:
        raise TargetDown(f"{path}: needs start.url (and start.command, if it is to be started)")
    token = os.environ.get("SEATRIAL_TOKEN") or secrets.token_urlsafe(24)
    names = {
        "port": str(free_port()), "here": str(path.parent), "python": sys.executable, "token": token,
        "sink": "http://127.0.0.1:9",  # discard: alerts are none of this suite's business
    }  # fmt: skip
    command = tuple(substitute(start.command, names)) if start.command else ()
    environment = {k: str(substitute(v, names)) for k, v in start.env.items()}
    berth = Berth(target, substitute(start.url, names), command, environment, token)
    try:
        if command:
            await berth.start()
        await berth.until_ready()
        yield berth
    finally:
        await berth.stop()

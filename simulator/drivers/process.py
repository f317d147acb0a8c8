"""The service as processes of ours: one session of the operating system, started, signalled and ended as a whole."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from typing import Final

from simulator.drivers.hold import session_of

STOP_WITHIN: Final = 10.0  # seconds that a service is given to end by itself
_LOOK_EVERY: Final = 0.005  # seconds


class Process:
    """A command and all that it starts, unless that opens a session of its own: it is out of our hands then."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.command, self.environment = tuple(command), dict(environment)
        self._leader: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the command; does not wait until it is of use."""
        self._leader = await asyncio.create_subprocess_exec(
            *self.command, env=os.environ | self.environment, start_new_session=True,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip

    @property
    def session(self) -> int:
        """Its id is the leader's pid, and stays when the leader has gone; 0 before the first start."""
        return self._leader.pid if self._leader else 0

    @property
    def code(self) -> int | None:
        """What the leader ended with; None while it runs."""
        return self._leader.returncode if self._leader else 0

    async def end(self) -> bool:
        """SIGTERM to the leader, as supervisors do; whether it ended by itself. What is left then is killed."""
        if self._leader is not None and self.code is None:
            with contextlib.suppress(ProcessLookupError):  # asyncio's own would reap it under its watcher's eyes
                os.kill(self.session, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._leader.wait(), STOP_WITHIN)
        willing = self.code is not None
        await self.kill()
        return willing

    async def kill(self) -> None:
        """SIGKILL to every process of the session, until none is left."""
        if self._leader is None:
            return
        while True:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.session, signal.SIGKILL)
            for pid in session_of(self.session):  # those in a process group of their own
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            await self._leader.wait()
            if not session_of(self.session):
                return
            await asyncio.sleep(_LOOK_EVERY)

"""The service's process in virtual time: started, stopped, killed, started again on what it left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from simulator.drivers.virtual.app import App, Lifespan, call
from simulator.drivers.virtual.loop import VirtualLoop


class Life:
    """One service at a time. `make` builds an app; the same settings every time, so that it finds its own state."""

    def __init__(self, loop: VirtualLoop, make: Callable[[], App]) -> None:
        self._loop, self._make = loop, make
        self.up = True
        self.paused = False
        self.app = make()
        self._lifespan = Lifespan(loop, self.app)

    @property
    def answers(self) -> bool:
        """Whether there is a service, and it does not stand still."""
        return self.up and not self.paused

    async def start(self) -> None:
        """Raises RuntimeError if the service says that it cannot start."""
        await self._lifespan.startup()
        self.up = True

    async def call(self, method: str, path: str, body: bytes = b"", token: str = "") -> tuple[int, bytes]:
        """One request of the control plane; 503 while nobody is there."""
        return await call(self.app, method, path, body, token) if self.answers else (503, b"")

    async def stop(self) -> None:
        """As a server does when it is told to: no new request gets in, and the service may tidy up."""
        self.up = False
        await self._lifespan.shutdown()

    def kill(self) -> None:
        """As near to ``kill -9`` as one process comes: everything that the service does is cancelled where it stands.

        Nothing may be awaited here: whoever called would be cancelled as well.
        """
        self.up = False
        for task in sorted(asyncio.all_tasks(self._loop), key=asyncio.Task.get_name):  # a set has no order of its own
            task.cancel()

    def rebuild(self) -> App:
        """A new app in place of the old one, not started yet."""
        self.app = self._make()
        self._lifespan = Lifespan(self._loop, self.app)
        return self.app

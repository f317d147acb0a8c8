"""One request in flight: the ASGI side of a client, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from simulator.drivers.record import Planned
from simulator.drivers.virtual.cpu import VirtualCpu, Wait
from simulator.drivers.virtual.loop import VirtualLoop

IDLE: Final = 0
DONE: Final = 1
LOST: Final = 2  # the client gave up


class Client(NamedTuple):
    """What all requests of a run share. `concluded` is called once per exchange."""

    loop: VirtualLoop
    app: Callable[..., Any]
    scope: dict[str, Any]
    cpu: VirtualCpu | None
    service_ns: tuple[int, ...]  # by number of rows
    concluded: Callable[[Exchange], None]


class Exchange:
    """Sends one body, collects one reply: `status` and `reply`, or a state of LOST.

    The virtual CPU is charged inside the first `receive`, so that the app's limiter and deadline see the queue.
    """

    __slots__ = (
        "_client", "_gone", "_parts", "_received",
        "attempt", "crash", "planned", "replied_ns", "reply", "seen_ns", "sent_ns", "state", "status",
    )  # fmt: skip

    def __init__(self, client: Client, planned: Planned, sent_ns: int, attempt: int = 1) -> None:
        self._client = client
        self._received = False
        self._gone: asyncio.Future[None] | None = None
        self._parts: bytes | None = None
        self.planned = planned
        self.sent_ns = sent_ns
        self.attempt = attempt
        self.state = IDLE
        self.status = 0
        self.reply = b""
        self.crash = ""
        self.seen_ns = -1
        self.replied_ns = -1

    async def run(self) -> None:
        """Call the app as a server would: an exception is a status of 500."""
        try:
            client = self._client
            await client.app(client.scope.copy(), self._receive, self._send)
        except Exception as error:  # noqa: BLE001 - servers turn any exception into a 500
            self.crash = f"{type(error).__name__}: {error}"
            self._end(500, b"")
            return
        if self.state == IDLE:
            self.crash = "the app returned without a complete response"
            self._end(500, b"")

    def give_up(self) -> None:
        """The client's timeout: what comes later is not seen any more, and the app is told."""
        if self.state == IDLE:
            self.state = LOST
            if self._gone is not None and not self._gone.done():
                self._gone.set_result(None)
            self._client.concluded(self)

    async def _receive(self) -> dict[str, Any]:
        if not self._received:
            self._received = True
            loop, cpu = self._client.loop, self._client.cpu
            if cpu is not None:
                await Wait(loop, cpu.finish_ns(self._client.service_ns[len(self.planned.due)]))
            self.seen_ns = loop.now_ns
            return {"type": "http.request", "body": self.planned.body, "more_body": False}
        # Blocks until the client goes: answering "disconnect" at once would cut a streamed reply short.
        if self.state == IDLE:
            self._gone = self._client.loop.create_future()
            await self._gone
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            part = message.get("body", b"")
            if message.get("more_body"):
                self._parts = part if self._parts is None else self._parts + part
            else:
                self._end(self.status, part if self._parts is None else self._parts + part)
        elif message["type"] == "http.response.start":
            self.status = message["status"]

    def _end(self, status: int, body: bytes) -> None:
        if self.state == IDLE:
            self.state = DONE
            self.status = status
            self.reply = body
            self.replied_ns = self._client.loop.now_ns
            if self._gone is not None and not self._gone.done():
                self._gone.set_result(None)
            self._client.concluded(self)

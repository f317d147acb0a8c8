"""One request in flight: the ASGI side of a client, and nothing else.

On the path of every request, hence its shape: where `receive()` has to wait, it awaits the exchange itself, which
speaks the small protocol that asyncio tasks expect of a future.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any, Final, NamedTuple

from simulator.drivers.record import Planned
from simulator.drivers.virtual.cpu import VirtualCpu
from simulator.drivers.virtual.loop import VirtualLoop
from simulator.history.schema import Outcome

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

    # Defaults stand on the class: an exchange is made for every request, and most never change most of them.
    state = IDLE
    status = 0
    reply = b""
    crash = ""
    seen_ns = -1
    replied_ns = -1
    ended_ns = -1
    failure: Outcome | None = None
    _received = False
    _cancelled = False
    _asyncio_future_blocking = False
    _parts: bytes | None = None
    _wake: Callable[[Any], object] | None = None
    _context: Context | None = None

    def __init__(self, client: Client, planned: Planned, sent_ns: int, attempt: int = 1) -> None:
        self._client = client
        self.planned = planned
        self.sent_ns = sent_ns
        self.attempt = attempt

    def reach(self, client: Client) -> None:
        """Whoever serves when it arrives is asked, and not a process that has died on its way."""
        self._client = client

    async def run(self) -> None:
        """Call the app as a server would: an exception is a status of 500."""
        client = self._client
        try:
            scope = client.scope.copy()
            if self.planned.key:
                scope["headers"] = [*scope["headers"], (b"idempotency-key", self.planned.key.encode())]
            await client.app(scope, self._receive, self._send)
        except Exception as error:  # noqa: BLE001 - servers turn any exception into a 500
            self.crash = f"{type(error).__name__}: {error}"
            self._end(500, b"")
            return
        if self.state == IDLE:
            self.crash = "the app returned without a complete response"
            self._end(500, b"")

    def give_up(self) -> None:
        """The client's timeout: what comes later is not seen any more, and the app is told."""
        self.lose(Outcome.TIMEOUT)

    def lose(self, failure: Outcome) -> None:
        """There will be no answer, for that reason."""
        if self.state == IDLE:
            self.state = LOST
            self.failure = failure
            self.ended_ns = self._client.loop.now_ns
            self._client.concluded(self)
            if self._received:
                self._client.loop.call_soon(_resume, self)

    # ------------------------------------------------------------ what the app sees

    async def _receive(self) -> dict[str, Any]:
        client = self._client
        loop = client.loop
        if not self._received:
            cpu = client.cpu
            if cpu is not None:
                done_ns = cpu.finish_ns(client.service_ns[len(self.planned.due)])
                if not loop.skip_to(done_ns):
                    paused = len(cpu.pauses)
                    loop.post(done_ns, _resume, self)
                    await self
                    while paused < len(cpu.pauses):  # it began meanwhile: what was not done then is done later
                        done_ns += cpu.pauses[paused]
                        paused += 1
                        loop.post(done_ns, _resume, self)
                        await self
            self._received = True
            self.seen_ns = loop.now_ns
            return {"type": "http.request", "body": self.planned.body, "more_body": False}
        # Blocks until the client goes: answering "disconnect" at once would cut a streamed reply short.
        if self.state == IDLE:
            await self
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
            self.replied_ns = self.ended_ns = self._client.loop.now_ns
            self._client.concluded(self)
            if self._wake is not None:  # somebody listens for the disconnect
                self._client.loop.call_soon(_resume, self)

    # ------------------------------------------------------------ what the waiting task sees

    def __await__(self) -> Generator[Any, None, None]:
        self._asyncio_future_blocking = True
        yield self
        if self._cancelled:
            self._cancelled = False
            raise asyncio.CancelledError

    def get_loop(self) -> VirtualLoop:
        """The loop that the waiting task must belong to."""
        return self._client.loop

    def add_done_callback(self, wake: Callable[[Any], object], *, context: Context | None = None) -> None:
        """Called by the waiting task."""
        self._wake, self._context = wake, context

    def result(self) -> None:
        """Called by the waiting task when it wakes."""

    def cancel(self, msg: str | None = None) -> bool:
        """Called when the waiting task is cancelled: wake it at once."""
        del msg
        if self._cancelled or self._wake is None:
            return False
        self._cancelled = True
        self._client.loop.call_soon(_resume, self)
        return True


def _resume(exchange: Exchange) -> None:
    wake, exchange._wake = exchange._wake, None  # noqa: SLF001 - the other half of Exchange, kept plain for speed
    if wake is not None:
        exchange._context.run(wake, exchange)  # type: ignore[union-attr]  # noqa: SLF001 - set together with the callback

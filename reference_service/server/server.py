"""Accepts connections on a socket, gives requests their turn, and stops without losing one."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from email.utils import formatdate
from functools import partial
from typing import Final

from reference_service.api.core import Core
from reference_service.clock import SECOND
from reference_service.server.connection import Connection, Host
from reference_service.server.messages import Request

_CONNECTIONS: Final = 4096  # at once; further ones wait in the kernel


class Server:
    """One socket, one service, one event loop.

    Args:
        core: what answers.
        listening: bound and listening; may be shared with other processes.
        idle_ns: how long a connection may be kept without a request.
        stuck_ns: how long a client may take nothing of what it is sent.
        connection: what each connection becomes.
    """

    def __init__(
        self, core: Core, listening: socket.socket, *,
        idle_ns: int = 75 * SECOND, stuck_ns: int = 30 * SECOND, connection: Callable[[Host], Connection] = Connection,
    ) -> None:  # fmt: skip
        service = core.service
        self.core = core
        self.clock = service.clock
        self.limiter = service.limiter
        self.counters = service.counters
        self.body_limit = service.policy.body_limit
        self.upload_ns = service.policy.upload_ns
        self.idle_ns = idle_ns
        self.stuck_ns = stuck_ns
        self.connections: set[Connection] = set()
        self.draining = False
        self.date = self.ordinary = b""  # the header, and an ordinary answer up to its length
        self.loop = asyncio.get_running_loop()
        self._infer_url = core.infer_path.encode()
        self._listening = listening
        self._connection = connection
        self._queue: list[tuple[Connection, Request]] = []
        self.held: list[tuple[Connection, Request, bytes]] = []
        self._accepting = False
        self._tasks: set[asyncio.Task[object]] = set()
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Accept."""
        self._listening.settimeout(0)
        self._new_date()
        self._accept_more()
        self._sweeper = self.loop.create_task(self._sweep_for_ever())

    async def stop(self, grace_ns: int) -> None:
        """Accept nothing more, answer what has come, and hang up; after the grace, at once."""
        self.draining = True
        self._accept_no_more()
        self._listening.close()
        until_ns = self.clock.now_ns() + grace_ns
        while self.connections and self.clock.now_ns() < until_ns:
            self._sweep()
            await self.clock.sleep(SECOND // 100)
        for connection in list(self.connections):
            connection.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()

    def inference(self, method: bytes, url: bytes) -> str | None:
        """See `Core.inference`."""
        if url == self._infer_url and method == b"POST":
            return ""
        return self.core.inference(method.decode("ascii"), url.partition(b"?")[0].decode("latin-1"))

    # ------------------------------------------------------------ turns

    def enqueue(self, connection: Connection, request: Request) -> None:
        """Serve it once the loop has read from every connection that has something."""
        if not self._queue:
            self.loop.call_soon(self._turn)
        self._queue.append((connection, request))

    def _turn(self) -> None:
        queue, self._queue = self._queue, []
        now_ns = self.clock.now_ns
        for connection, request in queue:
            connection.serve(request, now_ns())
        if not self.held:
            return
        held, self.held = self.held, []
        self.core.service.log.tell(partial(self._release, held))  # the decisions of one turn are written together

    def _release(self, held: list[tuple[Connection, Request, bytes]], written: bool) -> None:  # noqa: FBT001 - see `Told`
        core = self.core
        for connection, request, body in held:
            try:
                connection.inferred(request, core.logged(body, written=written))
            except Exception as error:  # noqa: BLE001  # one that cannot be given must not keep back the others
                core.failed(error)
                connection.abort()

    # ------------------------------------------------------------ connections

    def left(self, connection: Connection) -> None:
        """It is no more."""
        self.connections.discard(connection)
        if not self._accepting and not self.draining:
            self._accept_more()

    def _accept_more(self) -> None:
        self._accepting = True
        self.loop.add_reader(self._listening, self._accept)

    def _accept_no_more(self) -> None:
        self._accepting = False
        self.loop.remove_reader(self._listening)

    def _accept(self) -> None:
        """One at a time: where several processes share the socket, each gets its part."""
        with contextlib.suppress(OSError):  # another process was faster, or the client has left already
            connected, _ = self._listening.accept()
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task: asyncio.Task[object] = self.loop.create_task(
                self.loop.connect_accepted_socket(lambda: self._connection(self), connected)
            )
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            if len(self.connections) + len(self._tasks) >= _CONNECTIONS:
                self._accept_no_more()

    async def _sweep_for_ever(self) -> None:
        while True:
            await self.clock.sleep(SECOND)
            self._new_date()
            self._sweep()

    def _sweep(self) -> None:
        now_ns = self.clock.now_ns()
        for connection in list(self.connections):
            connection.sweep(now_ns)

    def _new_date(self) -> None:
        self.date = b"date: %b\r\n" % formatdate(self.clock.now_ns() // SECOND, usegmt=True).encode()
        self.ordinary = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" + self.date + b"content-length: "

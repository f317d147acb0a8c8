"""One HTTP/1.1 connection: bytes to requests and answers to bytes, in order. llhttp (httptools) does the parsing.

A request is put in the server's queue when its last byte has come, and served when the loop has read from every
connection that had something: what waits for its turn can be seen, and is part of its deadline.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any, Final, Protocol
from urllib.parse import unquote_to_bytes

import httptools

from reference_service.api.core import HEAD_TOO_LARGE, JSON, MALFORMED, TOO_SLOW, Answered, Core, too_large
from reference_service.clock import SECOND, Clock
from reference_service.guards.limiter import Limiter
from reference_service.guards.presence import Left, hung_up
from reference_service.monitor.counters import Counters
from reference_service.server.messages import Request, encode

_HEAD_LIMIT: Final = 1 << 16  # bytes of a request before its body
_AHEAD: Final = 8  # requests of one connection that wait for the one before them; then it is not read any further
_LINGER_NS: Final = 2 * SECOND  # so long we listen to what nobody wants, so that its refusal is read
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Host(Protocol):
    """What a connection needs of the server that accepted it."""

    core: Core
    clock: Clock
    limiter: Limiter
    counters: Counters
    loop: asyncio.AbstractEventLoop
    connections: set[Connection]
    draining: bool
    body_limit: int
    upload_ns: int
    idle_ns: int
    stuck_ns: int
    date: bytes  # the header's line
    ordinary: bytes  # an ordinary answer up to its length
    held: list[tuple[Connection, Request, bytes]]  # bodies to be given, by `inferred`, once the log has the decisions

    def inference(self, method: bytes, url: bytes) -> str | None:
        """See `Core.inference`."""

    def enqueue(self, connection: Connection, request: Request) -> None:
        """Serve it when its turn has come."""

    def left(self, connection: Connection) -> None:
        """It is no more."""


class Connection(asyncio.Protocol):
    """See above.

    Args:
        server: that accepted it.
    """

    __slots__ = ("_ahead", "_begun", "_body", "_busy", "_head", "_headers", "_host", "_parser", "_read_ns", "_refusal",
                 "_server", "_size", "_task", "_transport", "_url", "_waits",
                 "client", "since_ns", "stuck_ns")  # fmt: skip

    def __init__(self, server: Host) -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._transport: Any = None
        self._task: asyncio.Task[None] | None = None
        self._ahead: deque[Request] = deque()
        self._begun = False  # the task has had its first turn
        self._busy = False  # one is in the queue, or being answered
        self._waits = False  # for more bytes of a request
        self._refusal: Answered | None = None
        self._host = False  # whether the request names one
        self._read_ns = 0  # when its latest bytes came
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._head = self._size = 0  # bytes of the request so far
        self.client: Any = None
        self.since_ns = 0  # of the request that is coming: its first byte; of the last one: its last byte
        self.stuck_ns = 0  # since when the client takes nothing of what we write; 0: it does

    # ------------------------------------------------------------ asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self._transport = transport
        self.client = transport.get_extra_info("peername")
        self.since_ns = self._server.clock.now_ns()
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # why it left does not matter
        """Nobody works for a client that has left."""
        self._transport = None
        self._server.left(self)
        if self._task is not None and self._begun and self._server.core.service.settings.safeguards.presence:
            self._task.cancel()  # one that has not begun would not even leave the limiter; it sees for itself

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        if self._refusal is not None:
            return  # what comes after a refusal is not listened to
        self._read_ns = self._server.clock.now_ns()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # an invitation; the request has been taken as it is, and its answer ends the connection
        except httptools.HttpParserError:
            self._refusal = self._refusal or MALFORMED
        if self._waits and not self._size:
            self._head += len(data)
            if self._head > _HEAD_LIMIT:
                self._refusal = self._refusal or HEAD_TOO_LARGE
        if self._refusal is not None and not self._busy:
            self._end(self._refusal)

    def pause_writing(self) -> None:
        """The client takes nothing: then we read nothing."""
        self.stuck_ns = self._server.clock.now_ns()
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """It does again."""
        self.stuck_ns = 0
        self._transport.resume_reading()

    # ------------------------------------------------------------ httptools

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._url, self._headers, self._body = b"", [], []
        self._head = self._size = 0
        self._waits, self._host = True, False
        self.since_ns = self._read_ns

    def on_url(self, part: bytes) -> None:
        """The target, perhaps in pieces."""
        self._url += part

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        name = name.lower()
        self._headers.append((name, value))
        if name == b"host":
            self._host = True
        elif name == b"expect" and value.lower() == b"100-continue" and self._transport is not None:
            self._transport.write(_CONTINUE)

    def on_body(self, part: bytes) -> None:
        """A piece of the body."""
        self._size += len(part)
        if self._size > self._server.body_limit:
            self._refusal = self._refusal or too_large(self._server.body_limit)
        else:
            self._body.append(part)

    def on_message_complete(self) -> None:
        """The last byte."""
        self._waits = False
        if self._refusal is not None:
            return
        server, parser, url = self._server, self._parser, self._url
        method = parser.get_method()
        version = server.inference(method, url)
        old = parser.get_http_version() != "1.1"
        if not old and not self._host:
            self._refusal = MALFORMED
            return
        last = not parser.should_keep_alive() or parser.should_upgrade() or server.draining
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        ticket = server.limiter.stand() if version is not None and not self._busy else 0
        request = Request(method, url, self._headers, body, version, self._read_ns, ticket, last, old)
        if self._busy:
            self._ahead.append(request)
            if len(self._ahead) == _AHEAD:
                self._transport.pause_reading()
        else:
            self._busy = True
            server.enqueue(self, request)

    # ------------------------------------------------------------ answers

    def serve(self, request: Request, now_ns: int) -> None:
        """It is the request's turn."""
        server, core = self._server, self._server.core
        if request.version is None:
            if self._transport is not None:
                path, _, query = request.url.partition(b"?")
                text = unquote_to_bytes(path).decode("utf-8", "replace")
                other = core.other(
                    request.method.decode("ascii"), text, query.decode("latin-1"), request.headers, request.body
                )
                self._task = server.loop.create_task(self._run(other, request))
            return
        server.counters.arrived += 1
        if not server.limiter.admit_waited(request.ticket, request.arrived_ns, now_ns):
            self._answer(request, core.shed(now_ns))
            return
        if self._transport is None:
            self._unanswered(request)
            return
        try:
            found = core.infer(
                request.body, request.headers, request.arrived_ns, now_ns, request.version,
                client=self.client, gone=self._gone,
            )  # fmt: skip
        except Exception as error:  # noqa: BLE001  # whatever it is, the caller gets a reply, and no more than that
            found = core.failed(error)
        if type(found) is Answered:
            self.inferred(request, found)
        elif type(found) is bytes:
            server.held.append((self, request, found))
        else:
            self._task = server.loop.create_task(self._run(found, request))  # type: ignore[arg-type]  # no other type is left

    async def _run(self, work: Coroutine[Any, Any, Answered], request: Request) -> None:
        """Wait for an answer, for as long as the client is there."""
        answer, self._begun = None, True
        try:
            answer = await work
        except Left:
            pass
        except Exception as error:  # noqa: BLE001  # see `serve`
            answer = self._server.core.failed(error)
        finally:
            self._task, self._begun = None, False
            if answer is None:
                if request.version is not None:
                    self._unanswered(request)
            elif request.version is not None:
                self.inferred(request, answer)
            else:
                self._answer(request, answer)

    def _unanswered(self, request: Request) -> None:
        """The client of an admitted inference has left."""
        self._server.core.finish(0, request.arrived_ns)

    def _gone(self) -> bool:
        """Whether the client has hung up, heard of or not: while the loop works for others, it reads from nobody."""
        if not self._server.core.service.settings.safeguards.presence:
            return False
        if self._transport is None:
            return True
        return hung_up(self._transport.get_extra_info("socket"))

    def inferred(self, request: Request, answer: Answered) -> None:
        """An admitted inference has its answer."""
        self._server.core.finish(answer.status, request.arrived_ns)
        self._answer(request, answer)

    def _answer(self, request: Request, answer: Answered) -> None:
        if self._transport is None:
            return
        server = self._server
        last = request.last or server.draining
        if answer.headers is JSON and answer.status == HTTPStatus.OK and not last and not request.old:
            self._transport.write(b"%b%d\r\n\r\n%b" % (server.ordinary, len(answer.body), answer.body))
        else:
            self._transport.write(encode(request, answer, server.date, last=last))
        self._busy = False
        if last:
            self._transport.close()
            return
        if self._ahead:
            self._next()
        elif self._refusal is not None:
            self._end(self._refusal)
        elif not self._waits:
            self.since_ns = request.arrived_ns

    def _next(self) -> None:
        request = self._ahead.popleft()
        if len(self._ahead) == _AHEAD - 1 and not self.stuck_ns:
            self._transport.resume_reading()
        if request.version is not None:
            request = request._replace(ticket=self._server.limiter.stand())
        self._busy = True
        self._server.enqueue(self, request)

    def _end(self, answer: Answered) -> None:
        """Refuse whatever is coming. To hang up at once would tear the refusal from the hands of who still sends."""
        if self._transport is None:
            return
        nothing = Request(b"", b"", [], b"", None, 0, 0, last=True, old=False)
        self._refusal, self._waits = answer, False
        self._transport.write(encode(nothing, answer, self._server.date, last=True))
        self._transport.write_eof()
        self.since_ns = self._server.clock.now_ns() + _LINGER_NS - self._server.idle_ns

    # ------------------------------------------------------------ patience

    def sweep(self, now_ns: int) -> None:
        """End what takes too long. Called about once a second."""
        server = self._server
        if self._transport is None:
            return
        if self.stuck_ns:
            if now_ns - self.stuck_ns > server.stuck_ns:
                self._transport.abort()
        elif self._busy:
            return  # our own delay; the deadline sees to it
        elif self._waits:
            if now_ns - self.since_ns > server.upload_ns:
                self._end(TOO_SLOW)
        elif server.draining or now_ns - self.since_ns > server.idle_ns:
            self._transport.close()

    def abort(self) -> None:
        """Hang up at once."""
        if self._transport is not None:
            self._transport.abort()

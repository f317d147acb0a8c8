"""HTTP/1.1 over asyncio for an open loop: a request never waits for another one, and is never sent twice.

A connection is taken from those that lie idle, or opened. Ready-made clients wait when their pool is full, which turns
an open loop into a closed one, and send again when a kept connection broke, which sends twice. A reply of known length,
which is nearly every reply, is cut out by hand; everything else is h11's.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import selectors
import ssl
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

import h11

from simulator.drivers.answer import AGAIN, OURS, Answer, head, message
from simulator.history.schema import NEVER, Outcome
from simulator.scenario.quantities import SECOND

_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"
_STALE: Final = 2 * SECOND
_FINER: Final = sys.platform == "linux"


Concluded = Callable[[Answer], None]


class _Call:
    """One exchange under way; `line` is None while it has no connection, and after its end."""

    __slots__ = ("concluded", "deadline_ns", "line", "message", "over", "sent_ns")

    def __init__(self, message: bytes, sent_ns: int, deadline_ns: int, concluded: Concluded) -> None:
        self.message, self.sent_ns, self.deadline_ns, self.concluded = message, sent_ns, deadline_ns, concluded
        self.line: _Line | None = None
        self.over = False


class Wire:
    """Connections to one service. `post` returns at once; the answer is told to its `concluded`, exactly once.

    `via` is the address that is really connected to: a proxy's, which carries everything on to the service. `arrived`
    says when what is read now was there to be read; unless given, that is now.
    """

    def __init__(
        self, url: str, path: str, headers: tuple[tuple[bytes, bytes], ...], timeout_ns: int, now: Callable[[], int],
        *, via: tuple[str, int] | None = None, arrived: Callable[[], int] | None = None,
    ) -> None:  # fmt: skip
        parts = urlsplit(url)
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._named = parts.hostname or "127.0.0.1"
        self._host, self._port = via or (self._named, parts.port or (443 if self._tls else 80))
        self._head = head(parts, path, headers)
        self._timeout, self._now, self._arrived = timeout_ns, now, arrived or now
        self._loop = asyncio.get_running_loop()
        self.idle: list[_Line] = []
        self._waiting: deque[_Call] = deque()  # in order of their deadlines: all timeouts are equally long
        self._timer: asyncio.TimerHandle | None = None
        self._dialling: set[asyncio.Task[None]] = set()

    def post(self, body: bytes, concluded: Concluded, key: str = "") -> None:
        """Send one body, under its idempotency key if it has one; it is given up after the timeout."""
        whole = message(self._head, body, key)
        sent = self._now()
        call = _Call(whole, sent, sent + self._timeout, concluded)
        self._waiting.append(call)
        if self._timer is None:
            self._timer = self._loop.call_later(self._timeout / SECOND, self._give_up)
        while self.idle:
            line = self.idle.pop()
            # Servers close what lies idle, perhaps just as we write; what was used lately is seldom in that danger.
            if sent - line.idle_since < _STALE and line.begin(call):
                return
            line.drop()
        task = self._loop.create_task(self._dial(call))
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard)

    async def _dial(self, call: _Call) -> None:
        while not call.over:
            try:
                _, line = await self._loop.create_connection(
                    lambda: _Line(self), self._host, self._port, ssl=self._tls,
                    server_hostname=self._named if self._tls else None,
                )  # fmt: skip
            except OSError as error:
                if error.errno in OURS:
                    call.sent_ns = NEVER
                    await asyncio.sleep(AGAIN)
                    continue
                self.conclude(call, 0, NEVER, b"", Outcome.RESET)
                return
            if call.sent_ns == NEVER:
                call.sent_ns = self._now()
            if call.over or not line.begin(call):
                self.rest(line)
            return

    def _give_up(self) -> None:
        waiting, now = self._waiting, self._now()
        while waiting and (waiting[0].over or waiting[0].deadline_ns <= now):
            call = waiting.popleft()
            if not call.over:
                if call.line is not None:
                    call.line.drop()
                self.conclude(call, 0, NEVER, b"", Outcome.TIMEOUT)
        left = (waiting[0].deadline_ns - now) / SECOND if waiting else 0.0
        self._timer = self._loop.call_later(left, self._give_up) if waiting else None

    def conclude(self, call: _Call, status: int, replied_ns: int, body: bytes, failure: Outcome | None) -> None:
        """The end of one exchange."""
        if not call.over:
            call.over, call.line = True, None
            ended = replied_ns if replied_ns != NEVER else self._now()
            call.concluded(Answer(call.sent_ns, replied_ns, ended, status, body, failure))

    def rest(self, line: _Line) -> None:
        """Keep a connection for the next request."""
        line.idle_since = self._now()
        self.idle.append(line)

    def replied(self, call: _Call, status: int, body: bytes) -> None:
        """The whole reply is here."""
        self.conclude(call, status, self._arrived(), body, None)

    def close(self) -> None:
        """Let go of every connection; what is under way is not concluded any more."""
        if self._timer is not None:
            self._timer.cancel()
        for task in self._dialling:
            task.cancel()
        for line in [*self.idle, *(call.line for call in self._waiting if call.line is not None)]:
            line.drop()
        self.idle.clear()


class _Line(asyncio.Protocol):
    """One connection, one exchange at a time."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._call: _Call | None = None
        self.idle_since = 0
        self._got = bytearray()
        self._need = -1  # bytes of head and body together, once the head says so
        self._odd: h11.Connection | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def begin(self, call: _Call) -> bool:
        """Send; False if the connection is on its way out, and nothing was sent."""
        if self._transport.is_closing():
            return False
        self._call, call.line = call, self
        self._transport.write(call.message)
        return True

    def drop(self) -> None:
        """Hang up, whatever is still to come."""
        self._call = None
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        call = self._call
        if call is None:  # nobody asked: whatever it is, it is no answer to the next request
            self._transport.abort()
            return
        if self._odd is not None:
            self._advance(call, data)
            return
        got = self._got
        got += data
        if self._need < 0:
            self._read_head(call)
        if 0 <= self._need <= len(got):
            self._whole(call)

    def _read_head(self, call: _Call) -> None:
        end = self._got.find(_HEAD_END)
        if end < 0:
            return
        head = bytes(self._got[:end]).lower()
        at = head.find(b"\r\n" + _LENGTH)
        text = head[at + 2 + len(_LENGTH) :].partition(b"\r\n")[0].strip() if at >= 0 else b""
        plain = head.startswith(b"http/1.1 ") and head[9:12].isdigit() and head[9:10] != b"1"
        odd = head.count(_LENGTH) > 1 or b"transfer-encoding:" in head or head[9:12] in {b"204", b"304"}
        if plain and text.isdigit() and not odd:
            self._need = end + len(_HEAD_END) + int(text)
            return
        self._odd = h11.Connection(h11.CLIENT)
        request = h11.Request(method="POST", target="/", headers=[("host", "x"), ("content-length", "0")])
        self._odd.send(request)
        self._odd.send(h11.EndOfMessage())
        self._status, self._body = 0, bytearray()
        self._advance(call, bytes(self._got))

    def _whole(self, call: _Call) -> None:
        got, need = self._got, self._need
        end = got.find(_HEAD_END) + len(_HEAD_END)
        status, body = int(got[9:12]), bytes(got[end:need])
        # Bytes beyond the reply answer nothing that was asked: such a connection is not used again.
        keep = len(got) == need and b"connection: close" not in bytes(got[:end]).lower()
        self._done(call, status, body, keep=keep)

    def _advance(self, call: _Call, data: bytes) -> None:
        odd = self._odd
        assert odd is not None  # noqa: S101 - the caller looked
        try:
            odd.receive_data(data)
            while (event := odd.next_event()) is not h11.NEED_DATA:
                if isinstance(event, h11.Response):
                    self._status = event.status_code
                elif isinstance(event, h11.Data):
                    self._body += event.data
                elif isinstance(event, h11.EndOfMessage):
                    self._done(call, self._status, bytes(self._body), keep=odd.their_state is h11.DONE)
                    return
                elif isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
                    break
                # h11.InformationalResponse: the reply proper comes after it
            else:
                return
        except h11.RemoteProtocolError:
            pass
        self._broken(call)

    def _done(self, call: _Call, status: int, body: bytes, *, keep: bool) -> None:
        self._call, self._need, self._odd = None, -1, None
        self._got = bytearray()
        self._wire.replied(call, status, body)
        if keep:
            self._wire.rest(self)
        else:
            self._transport.close()

    def eof_received(self) -> bool:
        if self._call is not None and self._odd is not None:
            self._advance(self._call, b"")  # a body may end with its connection
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        with contextlib.suppress(ValueError):
            self._wire.idle.remove(self)
        if self._call is not None:
            self._broken(self._call)

    def _broken(self, call: _Call) -> None:
        self._call = None
        self._transport.abort()
        self._wire.conclude(call, 0, NEVER, b"", Outcome.RESET)


class PreciseSelector(selectors.DefaultSelector):
    """Wakes within microseconds, and remembers when: epoll's own timeouts are whole milliseconds, rounded up.

    The descriptor of an epoll set can itself be waited for, and select counts in microseconds.
    """

    woke_ns = 0

    def select(self, timeout: float | None = None) -> list[tuple[Any, int]]:
        """As its base, with finer timeouts."""
        if _FINER and timeout is not None and timeout > 0:
            select.select([self.fileno()], [], [], timeout)
            timeout = 0
        ready = super().select(timeout)
        self.woke_ns = time.monotonic_ns()
        return ready


class PreciseLoop(asyncio.SelectorEventLoop):
    """An event loop whose timers fire when they are due, not up to a millisecond later."""

    def __init__(self) -> None:
        self._precise = PreciseSelector()
        super().__init__(self._precise)

    @property
    def woke_ns(self) -> int:
        """When it last heard what has arrived, by the monotonic clock: of many answers none waits for the others."""
        return self._precise.woke_ns

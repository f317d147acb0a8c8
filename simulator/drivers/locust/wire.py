"""HTTP from a gevent worker: one request, one greenlet, one connection, and never a queue before it.

Ready-made pools wait when they are full, which turns an open loop into a closed one, and send a request again when a
kept connection broke, which sends it twice. Here a connection is taken from those that lie idle, or opened.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

import gevent
import gevent.select
import gevent.socket
import gevent.ssl
from geventhttpclient.response import HTTPParseError, HTTPSocketResponse

from simulator.drivers.answer import AGAIN, OURS, Answer, head, message
from simulator.history.schema import NEVER, Outcome

_BLOCK: Final = 1 << 16


class Wire:
    """Connections to one service. Bodies go out exactly once, byte for byte.

    `via` is the address that is really connected to: a proxy's, which carries everything on to the service.
    """

    def __init__(
        self, url: str, path: str, headers: tuple[tuple[bytes, bytes], ...], timeout_ns: int, now: Callable[[], int],
        *, via: tuple[str, int] | None = None,
    ) -> None:  # fmt: skip
        parts = urlsplit(url)
        self._named = parts.hostname or "127.0.0.1"
        self._tls = gevent.ssl.create_default_context() if parts.scheme == "https" else None
        self._address = via or (self._named, parts.port or (443 if self._tls else 80))
        self._head = head(parts, path, headers)
        self._timeout, self._now = timeout_ns / 1e9, now
        self._idle: list[Any] = []

    def post(self, body: bytes, key: str = "") -> Answer:
        """Send one body, under its idempotency key if it has one, and wait for its reply; within the timeout in all."""
        whole = message(self._head, body, key)
        sent, status, replied, reply = NEVER, 0, NEVER, b""
        failure: Outcome | None = Outcome.TIMEOUT
        connection = None
        with gevent.Timeout(self._timeout, False):  # noqa: FBT003 - its own signature: end the block, raise nothing
            try:
                while connection is None:
                    sent = self._now()
                    connection = self._connection()
                    if connection is None:
                        sent = NEVER
                        gevent.sleep(AGAIN)
                connection.sendall(whole)
                response = HTTPSocketResponse(connection, block_size=_BLOCK, method="POST")
                reply, status, replied, failure = response.read(), response.status_code, self._now(), None
                if not response.should_close():
                    self._idle.append(connection)
                    connection = None
            except (OSError, HTTPParseError):
                failure = Outcome.RESET
        if connection is not None:
            connection.close()
        return Answer(sent, replied, self._now(), status, reply, failure)

    def _connection(self) -> Any:
        """An idle connection that is still up, or a new one; None while this machine can open none.

        Raises:
            OSError: The service does not take it.
        """
        while self._idle:
            kept = self._idle.pop()
            if not _ended(kept):
                return kept
            kept.close()
        try:
            connection = gevent.socket.create_connection(self._address)
        except OSError as error:
            if error.errno in OURS:
                return None
            raise
        connection.setsockopt(gevent.socket.IPPROTO_TCP, gevent.socket.TCP_NODELAY, 1)
        return self._tls.wrap_socket(connection, server_hostname=self._named) if self._tls else connection

    def close(self) -> None:
        """Let go of what lies idle."""
        while self._idle:
            self._idle.pop().close()


def takes_connections(address: tuple[str, int], within_s: float) -> bool:
    """Whether somebody listens there."""
    try:
        gevent.socket.create_connection(address, within_s).close()
    except OSError:
        return False
    return True


def _ended(connection: Any) -> bool:
    """Whether the other side has closed, or said something that nobody asked for."""
    # select's limit of 1,024 descriptors would be ours: poll has none.
    poll = gevent.select.poll()
    poll.register(connection.fileno(), gevent.select.POLLIN)
    return bool(poll.poll(0))

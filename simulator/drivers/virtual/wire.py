"""Requests whose way to the service is bad: half open, cut off before the reply, uploaded in pieces.

The fault is one of the first attempt; a client that tries again finds a good way.
"""

from __future__ import annotations

from typing import Any, Final

from simulator.drivers.virtual.cpu import Wait
from simulator.drivers.virtual.exchange import IDLE, LOST, Exchange
from simulator.history.schema import Outcome

_PIECES: Final = 8


class Cut(Exchange):
    """The service receives the request and answers it; the connection is reset before the answer arrives."""

    def _end(self, status: int, body: bytes) -> None:
        if self.state == IDLE:
            del body
            self.status = status
            self.lose(Outcome.RESET)


class HalfOpen(Exchange):
    """The service receives the request and answers it; no answer arrives, and the client waits until it gives up."""

    def _end(self, status: int, body: bytes) -> None:
        del status, body


class Slow(Exchange):
    """The body arrives in pieces, the last one `over` after the first."""

    over = 0
    _sent = 0

    async def _receive(self) -> dict[str, Any]:
        if self._sent == _PIECES:
            return await super()._receive()
        if self._sent == 0:
            message = await super()._receive()  # waits for the virtual CPU
            del message
        else:
            await Wait(self._client.loop, self._client.loop.now_ns + self.over // (_PIECES - 1))
            if self.state == LOST:
                return {"type": "http.disconnect"}
        body = self.planned.body
        first, last = (len(body) * i // _PIECES for i in (self._sent, self._sent + 1))
        self._sent += 1
        return {"type": "http.request", "body": body[first:last], "more_body": self._sent < _PIECES}

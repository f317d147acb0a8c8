"""Connections whose requests leave a span each. Who does not trace has other connections, and pays nothing."""

from __future__ import annotations

from collections.abc import Callable

from reference_service.api.core import Answered
from reference_service.api.tracing import Spans
from reference_service.server.connection import Connection, Host
from reference_service.server.messages import Request


def traced(spans: Spans) -> Callable[[Host], Connection]:
    """What each connection of a server becomes, so that its requests are traced."""

    class TracedConnection(Connection):
        __slots__ = ()

        def _answer(self, request: Request, answer: Answered) -> None:
            _tell(spans, request, answer.status, answer.body)
            super()._answer(request, answer)

        def _unanswered(self, request: Request) -> None:
            _tell(spans, request, 0, b"")
            super()._unanswered(request)

    return TracedConnection


def _tell(spans: Spans, request: Request, status: int, body: bytes) -> None:
    path = request.url.partition(b"?")[0].decode("latin-1")
    spans.end(spans.begin(request.method.decode("ascii"), path, request.headers, request.arrived_ns), status, body)

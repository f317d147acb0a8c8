"""OpenTelemetry around a transport: one span a request that says, of a degraded reply, why.

The reply itself names its sources and reasons, so the span is read off the reply and no step in between knows of
traces. A caller's `traceparent` (W3C Trace Context) is the parent. The spans' times are the injected clock's.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from reference_service.api.core import Headers
from reference_service.api.http import ASGI, Message, Receive, Scope, Send
from reference_service.clock import Clock

_FIRST_FAULT: Final = 500
_CARRIED: Final = (b"traceparent", b"tracestate")


class _Tensor(msgspec.Struct):
    name: str
    data: list[Any]


class _Reply(msgspec.Struct):
    outputs: list[_Tensor] = []
    model_version: str = ""


_decode: Final = msgspec.json.Decoder(_Reply).decode


class Spans:
    """Begins a span for a request, and ends it with what its reply says.

    Args:
        clock: of the spans.
        provider: where they go; the global one unless given.
    """

    def __init__(self, clock: Clock, provider: trace.TracerProvider | None = None) -> None:
        self._clock = clock
        self._tracer = (provider or trace.get_tracer_provider()).get_tracer("seatrial.reference_service")
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, method: str, path: str, headers: Headers, at_ns: int) -> Span:
        """The span of a request that came then; the names of `headers` are in lower case."""
        given = {name.decode(): value.decode("latin-1") for name, value in headers if name in _CARRIED}
        return self._tracer.start_span(
            f"{method} {path}",
            context=self._propagator.extract(given),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": method, "url.path": path},
            start_time=at_ns,
        )

    def end(self, span: Span, status: int, body: bytes) -> None:
        """Its reply is on its way now; a status of 0: there is none."""
        _explain(span, status, body)
        span.end(self._clock.now_ns())


class Traced:
    """An ASGI app with a span around each request.

    Args:
        app: what answers.
        clock: of the spans.
        provider: see `Spans`.
    """

    def __init__(self, app: ASGI, clock: Clock, provider: trace.TracerProvider | None = None) -> None:
        self._app = app
        self._clock = clock
        self._spans = Spans(clock, provider)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One HTTP request."""
        span = self._spans.begin(scope["method"], scope["path"], scope["headers"], self._clock.now_ns())
        status, body = 0, bytearray()

        async def watched(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            body.extend(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except BaseException as error:
            span.record_exception(error)
            raise
        finally:
            self._spans.end(span, status, bytes(body))


def _explain(span: Span, status: int, body: bytes) -> None:
    """What the reply says of itself, as attributes."""
    span.set_attribute("http.response.status_code", status)
    if status >= _FIRST_FAULT or not status:
        span.set_status(Status(StatusCode.ERROR, "no answer was given" if not status else f"status {status}"))
    try:
        reply = _decode(body)
    except (ValueError, RecursionError):
        return
    said = {tensor.name: tensor.data for tensor in reply.outputs}
    sources, reasons = (sorted({str(each) for each in said.get(name, ()) if each}) for name in ("source", "reasons"))
    if sources:
        span.set_attribute("seatrial.version", reply.model_version)
        span.set_attribute("seatrial.sources", sources)
    if reasons:
        span.set_attribute("seatrial.reasons", reasons)
    if sources and sources != ["model"]:
        span.add_event("degraded", {"reasons": reasons})

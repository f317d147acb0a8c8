"""OpenTelemetry around the edge: one span a request that says, of a degraded reply, why.

The reply itself names its sources and reasons, so the span is read off the reply and no step in between knows of
traces. A caller's `traceparent` (W3C Trace Context) is the parent. The spans' times are the injected clock's.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from reference_service.api.http import ASGI, Message, Receive, Scope, Send
from reference_service.clock import Clock

_FIRST_FAULT: Final = 500
_CARRIED: Final = ("traceparent", "tracestate")


class _Tensor(msgspec.Struct):
    name: str
    data: list[Any]


class _Reply(msgspec.Struct):
    outputs: list[_Tensor] = []
    model_version: str = ""


_decode: Final = msgspec.json.Decoder(_Reply).decode


class Traced:
    """An ASGI app with a span around each request.

    Args:
        app: what answers.
        clock: of the spans.
        provider: where spans go; the global one unless given.
    """

    def __init__(self, app: ASGI, clock: Clock, provider: trace.TracerProvider | None = None) -> None:
        self._app = app
        self._clock = clock
        self._tracer = (provider or trace.get_tracer_provider()).get_tracer("seatrial.reference_service")
        self._propagator = TraceContextTextMapPropagator()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One HTTP request."""
        given = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        parent = self._propagator.extract({name: given[name] for name in _CARRIED if name in given})
        span = self._tracer.start_span(
            f"{scope['method']} {scope['path']}",
            context=parent,
            kind=SpanKind.SERVER,
            attributes={"http.request.method": scope["method"], "url.path": scope["path"]},
            start_time=self._clock.now_ns(),
        )
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
            _explain(span, status, bytes(body))
            span.end(self._clock.now_ns())


def _explain(span: trace.Span, status: int, body: bytes) -> None:
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

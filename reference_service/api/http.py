"""The ASGI edge: admission before the body is read, then the pipeline, then bytes. No framework."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from reference_service.api.control import Handler, authorised, routes
from reference_service.api.oip import Malformed
from reference_service.guards.deadline import within
from reference_service.pipeline import Reply, refusal
from reference_service.service import Service

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_JSON: Final = (b"content-type", b"application/json")
_PROBLEM: Final = (b"content-type", b"application/problem+json")
_TEXT: Final = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
_RETRY: Final = (b"retry-after", b"1")
_FIRST_ERROR: Final = 400


class TooLarge(Exception):  # noqa: N818  # named after what the body is
    """A body beyond the limit."""


class Gone(Exception):  # noqa: N818  # named after what the client is
    """The client left before its request was complete."""


class Edge:
    """Serves one service over ASGI's http protocol.

    Args:
        service: composed and ready.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        model = service.releases.champion.bundle.contract.model
        self._infer_path = f"/v2/models/{model}/infer"
        self._routes = routes(model)
        self._paths = {path for _, path in self._routes} | {self._infer_path}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One HTTP request. The deadline of an inference runs from here: waiting for its turn is part of it."""
        if scope["path"] != self._infer_path or scope["method"] != "POST":
            await self._control(scope, receive, send)
            return
        service = self.service
        clock, counters, limiter = service.clock, service.counters, service.limiter
        arrived_ns = clock.now_ns()
        counters.arrived += 1
        if not limiter.admit() and service.settings.safeguards.shedding:
            counters.shed += 1
            counters.statuses[429] += 1
            shed = refusal(429, "Overloaded", "more requests than can be answered in time")
            await _send(send, shed, _PROBLEM, _RETRY)
            return
        waiting = True
        try:
            message = await receive()
            now_ns = clock.now_ns()
            limiter.turn(now_ns)
            waiting = False
            body = message.get("body", b"")
            if message.get("more_body") or message["type"] != "http.request" or len(body) > service.policy.body_limit:
                body = await self._rest(message, receive)
                # A client that takes its time to upload is not our delay.
                arrived_ns, now_ns = arrived_ns + clock.now_ns() - now_ns, clock.now_ns()
            answer: Any
            try:
                answer = service.pipeline.quick(body, arrived_ns, now_ns)
            except Malformed:
                answer = refusal(400, "Malformed request", "the body is not an inference request in JSON")
            if type(answer) is bytes:
                status, body = 200, answer
            else:
                status, body = answer if isinstance(answer, Reply) else await answer
            if service.log.durable and not await service.log.committed():
                status, body = self._unlogged(status, body)
        except TooLarge:
            status, body = refusal(413, "Too large", f"at most {service.policy.body_limit} bytes")
        except Gone:
            return
        finally:
            if waiting:
                limiter.turn(clock.now_ns())
            limiter.leave()
        counters.statuses[status] += 1
        counters.answered(clock.now_ns() - arrived_ns)
        kind = _JSON if status < _FIRST_ERROR else _PROBLEM
        headers = [kind, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _unlogged(self, status: int, body: bytes) -> tuple[int, bytes]:
        """The reply whose decision may never be found in the log."""
        if self.service.settings.on_log_failure == "answer":
            return status, body
        return refusal(503, "Cannot answer", "decisions cannot be written down")

    async def _rest(self, message: Message, receive: Receive) -> bytes:
        """The whole of a body that comes in pieces."""
        limit, clock = self.service.policy.body_limit, self.service.clock
        until_ns = clock.now_ns() + self.service.policy.upload_ns
        parts: list[bytes] = []
        size = 0
        while True:
            if message["type"] == "http.disconnect":
                raise Gone
            part = message.get("body", b"")
            size += len(part)
            if size > limit:
                raise TooLarge
            parts.append(part)
            if not message.get("more_body"):
                return b"".join(parts)
            try:
                message = await within(receive(), until_ns - clock.now_ns())
            except TimeoutError:
                raise Gone from None

    # ------------------------------------------------------------ everything else

    async def _control(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        handler = self._routes.get((method, path))
        if handler is None:
            known = path in self._paths
            reply = refusal(405, "Method not allowed", "") if known else refusal(404, "Not found", "no such resource")
        elif path.startswith("/v1/") and not authorised(scope["headers"], self.service.settings.token):
            reply = refusal(401, "Unauthorised", "needs the control plane's token")
        else:
            reply = await self._handle(handler, scope, receive)
        if reply.status >= _FIRST_ERROR:
            kind = _PROBLEM if reply.body.startswith(b'{"type"') else _JSON
        else:
            kind = _TEXT if path == "/metrics" else _JSON
        await _send(send, reply, kind)

    async def _handle(self, handler: Handler, scope: Scope, receive: Receive) -> Reply:
        try:
            body = b"" if scope["method"] == "GET" else await self._rest(await receive(), receive)
        except TooLarge:
            return refusal(413, "Too large", "")
        except Gone:
            return refusal(408, "Request timeout", "")
        return await handler(self.service, body, scope.get("query_string", b"").decode("latin-1"))


async def _send(send: Send, reply: Reply, *headers: tuple[bytes, bytes]) -> None:
    length = (b"content-length", b"%d" % len(reply.body))
    await send({"type": "http.response.start", "status": reply.status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": reply.body})

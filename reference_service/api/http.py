"""The ASGI edge: admission before the body is read, then the core. No framework."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from reference_service.api.core import TOO_SLOW, Answered, Core, too_large
from reference_service.guards.deadline import within
from reference_service.guards.presence import Left, while_there
from reference_service.service import Service

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGI = Callable[[Scope, Receive, Send], Awaitable[None]]

_BODILESS: Final = frozenset({"GET", "HEAD"})


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
        self.core = Core(service)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One HTTP request. The deadline of an inference runs from here: waiting for its turn is part of it."""
        core, service = self.core, self.service
        version = core.inference(scope["method"], scope["path"])
        if version is None:
            await _send(send, await self._other(scope, receive))
            return
        clock, limiter = service.clock, service.limiter
        arrived_ns = clock.now_ns()
        service.counters.arrived += 1
        ticket = limiter.admit(scope.get("client"), arrived_ns)
        if not ticket:
            await _send(send, core.shed(arrived_ns))
            return
        status, waiting = 0, True
        try:
            message = await receive()
            now_ns = clock.now_ns()
            limiter.turn(now_ns, ticket)
            waiting = False
            body = message.get("body", b"")
            if message.get("more_body") or message["type"] != "http.request" or len(body) > service.policy.body_limit:
                body = await self._rest(message, receive)
                # A client that takes its time to upload is not our delay.
                arrived_ns, now_ns = arrived_ns + clock.now_ns() - now_ns, clock.now_ns()
            found = core.infer(body, scope["headers"], arrived_ns, now_ns, version, client=scope.get("client"))
            if type(found) is Answered:
                answer = found
            elif type(found) is bytes or not service.settings.safeguards.presence:
                answer = await core.settle(found)
            else:
                answer = await while_there(core.settle(found), receive)
            status = answer.status
        except TooLarge:
            answer = too_large(service.policy.body_limit)
            status = answer.status
        except (Gone, Left):
            return
        except Exception as error:  # noqa: BLE001  # whatever it is, the caller gets a reply, and no more than that
            answer = core.failed(error)
            status = answer.status
        finally:
            if waiting:
                limiter.turn(clock.now_ns(), ticket)
            core.finish(status, arrived_ns)
        # As `_send` does, without a coroutine more for every inference.
        body = answer.body
        headers = [*answer.headers, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _other(self, scope: Scope, receive: Receive) -> Answered:
        method = scope["method"]
        try:
            body = b"" if method in _BODILESS else await self._rest(await receive(), receive)
        except TooLarge:
            return too_large(self.service.policy.body_limit)
        except Gone:
            return TOO_SLOW
        query = scope.get("query_string", b"").decode("latin-1")
        try:
            return await self.core.other(method, scope["path"], query, scope["headers"], body)
        except Exception as error:  # noqa: BLE001  # see `__call__`
            return self.core.failed(error)

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


async def _send(send: Send, answer: Answered) -> None:
    headers = [*answer.headers, (b"content-length", b"%d" % len(answer.body))]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})

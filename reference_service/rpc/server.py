"""gRPC (grpcio.aio) on the core: admission, translation, status codes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc
import grpc.aio
import msgspec

from reference_service.api.core import NO_REQUEST, Answered, Core
from reference_service.api.oip import Malformed
from reference_service.clock import SECOND
from reference_service.rpc.messages import MESSAGES, SERVICE
from reference_service.rpc.tensors import from_json, to_json

_FIRST_ERROR: Final = 400
_PASSED_ON: Final = frozenset({"authorization", "idempotency-key"})
_CODES: Final = {
    400: grpc.StatusCode.INVALID_ARGUMENT, 401: grpc.StatusCode.UNAUTHENTICATED, 404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.ABORTED, 413: grpc.StatusCode.INVALID_ARGUMENT, 422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED, 503: grpc.StatusCode.UNAVAILABLE, 504: grpc.StatusCode.DEADLINE_EXCEEDED,
}  # fmt: skip


class Refused(Exception):  # noqa: N818  # an answer, not a fault
    """A status other than OK."""

    def __init__(self, answer: Answered) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Rpc:
    """The protocol's service.

    Args:
        core: what answers.
        address: host:port to listen on; port 0 takes a free one, see `port`.
    """

    def __init__(self, core: Core, address: str) -> None:
        self._core = core
        limit = core.service.policy.body_limit
        self._server = grpc.aio.server(options=[("grpc.max_receive_message_length", limit), ("grpc.so_reuseport", 1)])
        methods: dict[str, Callable[[Any, Any], Awaitable[Any]]] = {
            "ServerLive": self._live,
            "ServerReady": self._ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._metadata,
            "ModelMetadata": self._model,
            "ModelInfer": self._infer,
        }
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                _speaking(method),
                request_deserializer=MESSAGES[f"{name}Request"].FromString,
                response_serializer=MESSAGES[f"{name}Response"].SerializeToString,
            )
            for name, method in methods.items()
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        self.port = self._server.add_insecure_port(address)

    async def start(self) -> None:
        """Accept."""
        await self._server.start()

    async def stop(self, grace_ns: int) -> None:
        """Accept nothing more, answer what has come; after the grace, hang up."""
        await self._server.stop(grace_ns / SECOND)

    # ------------------------------------------------------------ methods

    async def _live(self, _request: Any, _context: Any) -> Any:
        return MESSAGES["ServerLiveResponse"](live=True)

    async def _ready(self, _request: Any, _context: Any) -> Any:
        return MESSAGES["ServerReadyResponse"](ready=await self._core.service.ready())

    async def _model_ready(self, request: Any, _context: Any) -> Any:
        answer = await self._core.other("GET", _path(request) + "/ready", "", (), b"")
        return MESSAGES["ModelReadyResponse"](ready=answer.status < _FIRST_ERROR)  # what is not there is not ready

    async def _metadata(self, _request: Any, _context: Any) -> Any:
        answer = await self._core.other("GET", "/v2", "", (), b"")
        return MESSAGES["ServerMetadataResponse"](**msgspec.json.decode(answer.body))

    async def _model(self, request: Any, _context: Any) -> Any:
        answer = await self._core.other("GET", _path(request), "", (), b"")
        if answer.status >= _FIRST_ERROR:
            raise Refused(answer)
        return MESSAGES["ModelMetadataResponse"](**msgspec.json.decode(answer.body))

    async def _infer(self, request: Any, context: Any) -> Any:
        core, service = self._core, self._core.service
        if request.model_name != core.model:
            raise Refused(core.nothing(f"/v2/models/{request.model_name}"))
        arrived_ns = service.clock.now_ns()
        service.counters.arrived += 1
        ticket = service.limiter.admit((context.peer(),), arrived_ns)
        if not ticket:
            raise Refused(core.shed(arrived_ns))
        service.limiter.turn(arrived_ns, ticket)
        answer, status = None, 0
        try:
            headers = [(n.encode(), v.encode()) for n, v in context.invocation_metadata() if n in _PASSED_ON]
            now_ns = service.clock.now_ns()
            client = (context.peer().rpartition(":")[0],)  # without the port: a retry may come from another
            found = core.infer(to_json(request), headers, arrived_ns, now_ns, request.model_version, client=client)
            answer = found if type(found) is Answered else await core.settle(found)
            status = answer.status
        except Malformed:
            answer = NO_REQUEST
            status = answer.status
        finally:
            core.finish(status, arrived_ns)
        if answer.status >= _FIRST_ERROR:
            raise Refused(answer)
        return from_json(answer.body, as_raw=bool(request.raw_input_contents))


def _path(request: Any) -> str:
    return f"/v2/models/{request.name}" + (f"/versions/{request.version}" if request.version else "")


def _speaking(method: Callable[[Any, Any], Awaitable[Any]]) -> Callable[[Any, Any], Awaitable[Any]]:
    """The method, its refusals as status codes."""

    async def call(request: Any, context: Any) -> Any:
        try:
            return await method(request, context)
        except Refused as refused:
            answer = refused.answer
            trailing = tuple((n.decode(), v.decode()) for n, v in answer.headers if n == b"retry-after")
            code = _CODES.get(answer.status, grpc.StatusCode.INTERNAL)
            await context.abort(code, _detail(answer.body), trailing)

    return call


def _detail(body: bytes) -> str:
    problem = msgspec.json.decode(body)
    errors = (f"row {e['row']}: {e['field']} {e['reason']}" for e in problem.get("errors", ()))
    return "; ".join((problem["error"], *errors))

"""Requests in, answers out, whatever carried them: REST, gRPC and the consumer of events all end here.

A transport does three things: it admits (`Limiter`), asks `infer` or `other`, and says `finish` once an admitted
inference is answered or given up. What it asks and what it gets is plain data.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from reference_service.api import binary, control
from reference_service.api.control import Handler, authorised, routes
from reference_service.api.keyed import Caller, once
from reference_service.api.oip import Malformed
from reference_service.guards.idempotency import KEY, Idempotency
from reference_service.guards.presence import Left
from reference_service.release.registry import Loaded
from reference_service.reply import Reply, refusal
from reference_service.service import Service

Headers = Sequence[tuple[bytes, bytes]]
JSON: Final[Headers] = ((b"content-type", b"application/json"),)
_PROBLEM: Final = ((b"content-type", b"application/problem+json"),)
_LINES: Final = ((b"content-type", b"application/x-ndjson"),)
_TEXT: Final = ((b"content-type", b"text/plain; version=0.0.4; charset=utf-8"),)
_SOON: Final[Headers] = ((b"retry-after", b"1"),)
_FIRST_ERROR: Final = 400
_UNAVAILABLE: Final = 503
UNLOGGED: Final = refusal(503, "Cannot answer", "decisions cannot be written down")
NOT_SERVED: Final = refusal(404, "Not found", "no such version is being served")
_SPECIAL: Final = frozenset({binary.HEADER, b"content-encoding", KEY})


class Answered(msgspec.Struct, frozen=True, gc=False):
    """A whole answer. Its length is the transport's to tell."""

    status: int
    body: bytes
    headers: Headers


class Asked(NamedTuple):
    """An admitted inference. See `Core.infer`."""

    body: bytes
    caller: Caller
    arrived_ns: int
    now_ns: int
    version: str


class Core:
    """One service, without a transport.

    Args:
        service: composed and ready.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        model = service.releases.champion.bundle.contract.model
        self.model = model
        self.infer_path = f"/v2/models/{model}/infer"
        self._versions = f"/v2/models/{model}/versions/"
        self._routes: dict[tuple[str, str], Handler] = {}
        self._methods: dict[str, list[str]] = {self.infer_path: ["POST"]}
        self.offer(routes(model))

    def offer(self, more: Mapping[tuple[str, str], Handler]) -> None:
        """(method, path) → handler of what is there beside inference."""
        self._routes.update(more)
        for method, path in more:
            self._methods.setdefault(path, []).append(method)

    # ------------------------------------------------------------ inference

    def inference(self, method: str, path: str) -> str | None:
        """Whether this is an inference: the version that its path insists on, or "" for any; None if it is not."""
        if method != "POST":
            return None
        if path == self.infer_path:
            return ""
        path, version = self._unversioned(path)
        return version if version and path == self.infer_path else None

    def _unversioned(self, path: str) -> tuple[str, str]:
        """The path of the same resource of whichever version, and the version that this path insists on."""
        if not path.startswith(self._versions):
            return path, ""
        version, slash, rest = path[len(self._versions) :].partition("/")
        return f"/v2/models/{self.model}{slash}{rest}", version or "-"  # no version is called so: 404

    def infer(
        self,
        body: bytes,
        headers: Headers,
        arrived_ns: int,
        now_ns: int,
        version: str = "",
        *,
        client: Sequence[Any] | None = None,
        gone: Callable[[], bool] = lambda: False,
    ) -> Answered | bytes | Coroutine[Any, Any, Answered]:
        """The answer to an admitted inference, or what it still takes.

        Bytes are the body of an ordinary answer whose decision the log has yet to write; `logged` makes it an answer.
        What still has to be awaited may be cancelled when its client has left: then nothing was decided, or what was
        decided stands.

        Args:
            body: as it came.
            headers: their names in lower case.
            arrived_ns: when it entered the service.
            now_ns: now; the difference is time in the queue, and counts.
            version: that the caller insists on.
            client: (address, ...) of the caller.
            gone: whether the client has hung up, asked before work that is awaited begins; then that raises `Left`.
        """
        for name, _ in headers:
            if name in _SPECIAL:
                return self._special(Asked(body, Caller(headers, client), arrived_ns, now_ns, version), gone)
        return self._ask(body, arrived_ns, now_ns, version, gone)

    async def settle(self, found: Answered | bytes | Coroutine[Any, Any, Answered]) -> Answered:
        """The answer, once there is one, for transports that can wait."""
        if type(found) is Answered:
            return found
        if type(found) is bytes:
            return self.logged(found, written=await self.service.log.committed())
        answer: Answered = await found  # type: ignore[misc]  # what is neither of the two is a coroutine
        return answer

    def logged(self, body: bytes, *, written: bool) -> Answered:
        """What becomes of an answer whose decision has been written, or may never be found in the log."""
        if written or self.service.settings.on_log_failure == "answer":
            return Answered(200, body, JSON)
        return answered(UNLOGGED)

    def shed(self, now_ns: int) -> Answered:
        """The answer to an inference that was not admitted; `finish` must not follow."""
        counters = self.service.counters
        counters.shed += 1
        counters.statuses[429] += 1
        wait = b"%d" % self.service.limiter.retry_after_s(now_ns)
        reply = refusal(429, "Overloaded", "more requests than can be answered in time")
        return answered(reply, (b"retry-after", wait))

    def failed(self, error: Exception) -> Answered:
        """The answer to a request that met a defect of ours: its stack is in the process' own log."""
        logging.getLogger("reference_service").error("a request failed", exc_info=error)
        self.service.counters.crashed += 1
        return FAILED

    def finish(self, status: int, arrived_ns: int) -> None:
        """An admitted inference was answered with this status; 0: its client has left."""
        self.service.limiter.leave()
        if status:
            counters = self.service.counters
            counters.statuses[status] += 1
            counters.answered(self.service.clock.now_ns() - arrived_ns)
        else:
            self.service.counters.left += 1

    def _ask(
        self, body: bytes, arrived_ns: int, now_ns: int, version: str, gone: Callable[[], bool]
    ) -> Answered | bytes | Coroutine[Any, Any, Answered]:
        try:
            pinned = self._pinned(version)
        except LookupError:
            return answered(NOT_SERVED)
        try:
            found = self.service.pipeline.quick(body, arrived_ns, now_ns, pinned)
        except Malformed:
            return NO_REQUEST
        if type(found) is not bytes:
            return self._wait(found, gone)  # type: ignore[arg-type]  # bytes are excluded
        return found if self.service.log.durable else Answered(200, found, JSON)

    async def _wait(self, pending: Coroutine[Any, Any, Reply], gone: Callable[[], bool]) -> Answered:
        if gone():
            pending.close()
            raise Left
        reply = await pending
        return answered(reply) if reply.status >= _FIRST_ERROR else await self.settle(reply.body)

    async def _special(self, asked: Asked, gone: Callable[[], bool]) -> Answered:
        """Bodies in another form than the protocol's JSON, and callers who want one answer however often they ask."""
        if gone():
            raise Left
        headers = dict(asked.caller.headers)
        if headers.get(b"content-encoding", b"identity") != b"identity":
            return answered(refusal(415, "Unsupported encoding", "send the body as it is, uncompressed"))
        wanted: frozenset[str] = frozenset()
        if binary.HEADER in headers:
            try:
                body, wanted = binary.decode(asked.body, headers[binary.HEADER])
            except Malformed:
                return answered(refusal(400, "Malformed request", "the binary tensors do not fit their descriptions"))
            asked = asked._replace(body=body)
        guard = self.service.idempotency
        if KEY in headers and guard is not None:
            found = await self._keyed(guard, asked)
        else:
            found = await self.settle(self._ask(asked.body, asked.arrived_ns, asked.now_ns, asked.version, gone))
        if found.status >= _FIRST_ERROR or not wanted:
            return found
        encoded, length = binary.encode(found.body, wanted)
        kind, *more = found.headers
        octets = (kind[0], b"application/octet-stream")
        return Answered(found.status, encoded, (octets, (binary.HEADER, b"%d" % length), *more))

    def _pinned(self, version: str) -> Loaded | None:
        """The version that a caller insists on. Raises KeyError."""
        return self.service.releases.served()[version] if version else None

    async def _keyed(self, guard: Idempotency, asked: Asked) -> Answered:
        """The answer to a request under an idempotency key; the first one's, where there is one.

        It is kept as soon as it is decided, and given once the decision is written down: a client that leaves in
        between, or a log that fails for a while, must not have it decided twice.
        """
        service = self.service

        async def work(mark: str) -> Reply:
            pinned = self._pinned(asked.version)
            return await service.pipeline.keyed(asked.body, asked.arrived_ns, asked.now_ns, mark, pinned)

        what = asked.version.encode() + b"\0" + asked.body
        until_ns = asked.arrived_ns + service.policy.deadline_ns
        try:
            reply, beside = await once(guard, asked.caller, what, until_ns, work)
        except Malformed:
            return NO_REQUEST
        except LookupError:
            return answered(NOT_SERVED)
        written = reply.status >= _FIRST_ERROR or await service.log.committed()
        if not written and service.settings.on_log_failure != "answer":
            return answered(UNLOGGED)
        return answered(reply, *beside)

    # ------------------------------------------------------------ everything else

    async def other(self, method: str, path: str, query: str, headers: Headers, body: bytes) -> Answered:
        """The answer to any other request. To HEAD as to GET; the transport keeps the body back."""
        path, version = self._unversioned(path)
        handler = self._routes.get(("GET" if method == "HEAD" else method, path))
        if handler is None:
            return self.nothing(path)
        if version:
            loaded = self.service.releases.served().get(version)
            if loaded is None:
                return answered(NOT_SERVED)
            if path.endswith("/ready"):
                return answered(control.readiness(self.model, ready=loaded.model.breaker.state == "closed"))
        elif path.startswith("/v1/") and not authorised(headers, self.service.settings.token):
            reply = refusal(401, "Unauthorised", "needs the control plane's token")
            return answered(reply, (b"www-authenticate", b"Bearer"))
        reply = await handler(self.service, body, query)
        if path == "/v1/decisions/lines" and reply.status < _FIRST_ERROR:
            return Answered(reply.status, reply.body, _LINES)
        return Answered(200, reply.body, _TEXT) if path == "/metrics" else answered(reply)

    def nothing(self, path: str) -> Answered:
        """The answer to what is not there, or not for this method."""
        methods = self._methods.get(path)
        if methods is None:
            return answered(refusal(404, "Not found", "no such resource"))
        allow = sorted({*methods, "HEAD"} if "GET" in methods else methods)
        return answered(refusal(405, "Method not allowed", ""), (b"allow", ", ".join(allow).encode()))


def answered(reply: Reply, *headers: tuple[bytes, bytes]) -> Answered:
    """A reply and its media type. What operators read is JSON even where it says no (readiness)."""
    is_problem = reply.status >= _FIRST_ERROR and reply.body.startswith(b'{"type"')
    soon = _SOON if is_problem and reply.status == _UNAVAILABLE else ()
    return Answered(reply.status, reply.body, (*(_PROBLEM if is_problem else JSON), *soon, *headers))


NO_REQUEST: Final = answered(refusal(400, "Malformed request", "this is no inference request"))
FAILED: Final = answered(refusal(500, "Internal error", "it has been written down here"))
MALFORMED: Final = answered(refusal(400, "Malformed request", "this is not HTTP/1.1"))
HEAD_TOO_LARGE: Final = answered(refusal(431, "Headers too large", ""))
TOO_SLOW: Final = answered(refusal(408, "Request timeout", "it did not come in time"))


def too_large(limit: int) -> Answered:
    """The answer to a body beyond the limit."""
    return answered(refusal(413, "Too large", f"at most {limit} bytes"))

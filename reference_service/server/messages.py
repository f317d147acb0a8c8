"""A request as it has come, whole, and an answer as the bytes of HTTP/1.1."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final, NamedTuple

from reference_service.api.core import Answered

_LINES: Final = {int(s): f"HTTP/1.1 {int(s)} {s.phrase}\r\n".encode() for s in HTTPStatus}


class Request(NamedTuple):
    """One whole request."""

    method: bytes
    url: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes
    version: str | None  # that an inference insists on; None: it is no inference
    arrived_ns: int
    ticket: int  # of the limiter; 0: none
    last: bool  # the connection ends with its answer
    old: bool  # HTTP/1.0


def encode(request: Request, answer: Answered, date: bytes, *, last: bool) -> bytes:
    """`date`: the header's line. `last`: the connection ends with it."""
    parts = [_LINES[answer.status], date, *(b"%b: %b\r\n" % header for header in answer.headers)]
    if last:
        parts.append(b"connection: close\r\n")
    elif request.old:
        parts.append(b"connection: keep-alive\r\n")
    parts.append(b"content-length: %d\r\n\r\n" % len(answer.body))
    if request.method != b"HEAD":
        parts.append(answer.body)
    return b"".join(parts)

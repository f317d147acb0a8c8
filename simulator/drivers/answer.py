"""What the two HTTP clients of live runs share: how an exchange went, and what a request says."""

from __future__ import annotations

import errno
from typing import Final, NamedTuple
from urllib.parse import SplitResult

from simulator.history.schema import Outcome

AGAIN: Final = 0.02  # seconds between attempts while this machine has no socket left
# This machine is at its end, not the service: what waits for it is late, and that is the driver's.
OURS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EAGAIN})


class Answer(NamedTuple):
    """How one exchange went, by the caller's clock. `sent_ns` is NEVER if nothing could be sent from here."""

    sent_ns: int
    replied_ns: int
    ended_ns: int
    status: int
    body: bytes
    failure: Outcome | None


def head(parts: SplitResult, path: str, headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """The head of every request up to the number of its body's bytes: what never changes is put together once."""
    lines = [b"POST %b HTTP/1.1" % (parts.path.rstrip("/") + path).encode(), b"host: %b" % parts.netloc.encode()]
    return b"\r\n".join([*lines, *(b"%b: %b" % header for header in headers), b"content-length: "])


def message(start: bytes, body: bytes, key: str) -> bytes:
    """One request: `start` from `head`, under its idempotency key if it has one."""
    extra = b"\r\nidempotency-key: %b" % key.encode() if key else b""
    return b"%b%d%b\r\n\r\n%b" % (start, len(body), extra, body)

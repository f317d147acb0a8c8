"""What is written down of a decision, and what is kept apart because somebody may ask for it to be erased.

A `Decision` holds no value that a caller sent. Its `Payload` does; the decision carries the payload's SHA-256, so that
a payload can be erased, and cannot be exchanged, while the chain of decisions still verifies.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec


class Decision(msgspec.Struct, gc=False):
    """One row's answer."""

    seq: int
    at_ns: int
    id: str
    row: int
    rows: int  # of the request
    version: str
    score: float | None  # None: the row was refused
    decision: str
    source: str
    reasons: str
    bundle: str = ""  # first 12 hex digits of the bundle's digest
    policy: str = ""  # the same of the policy's
    key: str = ""  # idempotency key, if the caller gave one
    anomaly: float | None = None  # filled in when the block is closed
    payload: str = ""  # SHA-256 (hex) of the payload's line; empty where no payload is kept


class Payload(msgspec.Struct, gc=False):
    """What came, and what the model was given."""

    seq: int
    body: str | None  # the request as it was received; with its first row only
    received: list[float | None] | None  # contract order, before any default; None where erased
    used: list[float | None] | None = None  # what the model was given, where that differs
    erased_ns: int | None = None


Entry = tuple[Decision, bytes, list[float], list[float], Any]
"""On its way to the log, by reference only, because one is made for every row: (decision, body as received, values as
received, values as used, the version's bundle)."""

_encode: Final = msgspec.json.Encoder().encode


def payload_line(decision: Decision, body: bytes, received: list[float], used: list[float]) -> bytes:
    """The payload as it is written, without the newline. NaN is written as null."""
    shown = body.decode("utf-8", "backslashreplace") if not decision.row else None
    # msgspec writes NaN as null; the annotation speaks of what is read back.
    return _encode(Payload(decision.seq, shown, received, None if used is received else used))  # type: ignore[arg-type]


def digest(line: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(line).hexdigest()

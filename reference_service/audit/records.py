"""What is written down of a decision, and what is kept apart because somebody may ask for it to be erased.

A `Decision` holds no value that a caller sent. Its `Payload` does; the decision carries the payload's SHA-256, so that
a payload can be erased, and cannot be exchanged, while the chain of decisions still verifies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

PERSON: Final = "person"  # source of a reviewer's verdict, a record of its own beside the decision that it is about


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


class Payload(msgspec.Struct, gc=False, omit_defaults=True):
    """What came, and what the model was given: values as `packed` makes them, which JSON has in base64.

    Written as numbers they would take four times as long, and a null would not be told from what else is NaN.
    """

    seq: int
    received: bytes | None  # before any default; None where erased
    used: bytes | None = None  # what the model was given, where that differs
    entity: int | str | None = None  # whom the row is about
    # The request word for word, with its first row. None of an ordinary one that was answered without a detour: its
    # values are kept, and what the service does not read is not.
    body: str | None = None
    erased_ns: int | None = None


_encode_lines: Final = msgspec.json.Encoder().encode_lines
_UNHASHED: Final = hashlib.sha256()


def packed(values: Sequence[float]) -> bytes:
    """A row's values in contract order, as little-endian float64; NaN is null."""
    return np.array(values, dtype="<f8").tobytes()


def unpacked(values: bytes) -> np.ndarray:
    """float64[f], the reverse of `packed`."""
    return np.frombuffer(values, dtype="<f8")


def text(body: bytes) -> str:
    """A body for `Payload.body`, whatever bytes it is made of."""
    return body.decode("utf-8", "backslashreplace")


def payload_lines(decisions: Sequence[Decision], payloads: Sequence[Payload]) -> bytes:
    """The payloads of a block as they are written, one a line; each decision is given its line's digest."""
    lines = _encode_lines(payloads)
    for decision, line in zip(decisions, lines.split(b"\n"), strict=False):  # nothing follows the last newline
        hashed = _UNHASHED.copy()  # a new one has OpenSSL look for the algorithm, which takes as long as to hash
        hashed.update(line)
        decision.payload = hashed.hexdigest()
    return lines


def digest(line: bytes) -> str:
    """SHA-256 in hex, of a line without its newline."""
    return hashlib.sha256(line).hexdigest()

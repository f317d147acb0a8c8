"""How the harness speaks to a service: a codec turns plan rows into request bodies and replies into outcomes."""

from __future__ import annotations

from typing import Protocol

import msgspec

from simulator.history.schema import Outcome, Source
from simulator.plan import Chunk


class Reply(msgspec.Struct, frozen=True, gc=False):
    """One decoded reply; the per-row tuples have one entry a row, or are empty when nothing was answered."""

    outcome: Outcome
    version: str = ""
    scores: tuple[float, ...] = ()
    decisions: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    reasons: tuple[str, ...] = ()


class Codec(Protocol):
    """A wire protocol, bound to one target file."""

    path: str
    headers: tuple[tuple[bytes, bytes], ...]

    def encode(self, chunk: Chunk) -> list[bytes]:
        """One body per request of the chunk, in order."""

    def decode(self, status: int, body: bytes, rows: int) -> Reply:
        """Never raises: what cannot be read is UNPARSEABLE."""

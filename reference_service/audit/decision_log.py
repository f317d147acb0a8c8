"""Every decision, in an order that cannot be changed unseen: chained blocks of SHA-256, written in groups.

A block's head is SHA-256(previous head + its records). Changing, dropping or swapping a record changes every later
head. A chain alone cannot show that its end was cut off, which is why `/v1/decisions` exports the head. Records hold a
digest of what was received, not the values: what must be erasable is not in the chain.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

from reference_service.clock import Clock

GENESIS = bytes(32)
_encoder = msgspec.json.Encoder()


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
    received: bytes  # digest of the request's body, see `digest`


def digest(body: bytes) -> bytes:
    """SHA-256 of what was received; the fastest one where the processor knows it."""
    return hashlib.sha256(body).digest()


class DecisionLog:
    """A ring in memory and, where a folder is given, a file.

    Args:
        clock: for the group commit.
        rows: records in a block, at most.
        wait_ns: how long a record waits for company.
        ring: records kept in memory.
        folder: where the file goes; None: memory only.
    """

    __slots__ = ("_block", "_clock", "_file", "_future", "_pending", "_ring", "_rows", "_timer", "_wait_ns", "failures",
                 "head", "seq")  # fmt: skip

    def __init__(self, clock: Clock, *, rows: int, wait_ns: int, ring: int, folder: Path | None = None) -> None:
        self._clock = clock
        self._rows = rows
        self._wait_ns = wait_ns
        self._ring: deque[Decision] = deque(maxlen=ring)
        self._pending: list[Decision] = []
        self._future: asyncio.Future[None] | None = None
        self._timer: asyncio.Task[None] | None = None
        self._file: IO[bytes] | None = None
        self._block = 0
        self.head = GENESIS
        self.seq = 0
        self.failures = 0  # blocks that could not be written
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._resume(folder / "decisions.jsonl")

    @property
    def durable(self) -> bool:
        """Whether a reply has to wait for `committed`."""
        return self._file is not None

    def append(self, record: Decision) -> None:
        """Add one record, whose `seq` is this log's; a full block is closed at once."""
        self.seq += 1
        pending = self._pending
        pending.append(record)
        if len(pending) >= self._rows:
            self.flush()

    async def committed(self) -> None:
        """Return once everything appended so far has been handed to the operating system."""
        if not self._pending:
            return
        if self._future is None:
            self._future = asyncio.get_running_loop().create_future()
            self._timer = asyncio.get_running_loop().create_task(self._later())
        await asyncio.shield(self._future)

    def flush(self) -> None:
        """Close the open block."""
        pending, self._pending = self._pending, []
        if pending:
            self._commit(pending)
        if self._future is not None and not self._future.done():
            self._future.set_result(None)
        self._future = None

    def recent(self, limit: int) -> list[Decision]:
        """The last records, oldest first."""
        self.flush()
        return list(self._ring)[-limit:] if limit > 0 else []

    def close(self) -> None:
        """Write what is left."""
        self.flush()
        if self._timer is not None:
            self._timer.cancel()
        if self._file is not None:
            self._file.close()
            self._file = None

    async def _later(self) -> None:
        await self._clock.sleep(self._wait_ns)
        self.flush()

    def _commit(self, pending: list[Decision]) -> None:
        self._ring.extend(pending)
        block = _encoder.encode_lines(pending)
        previous, self.head = self.head, hashlib.sha256(self.head + block).digest()
        self._block += 1
        if self._file is not None:
            seal = {"block": self._block, "rows": len(pending), "previous": previous.hex(), "head": self.head.hex()}
            try:
                self._file.write(block + _encoder.encode(seal) + b"\n")
            except OSError:  # disk full: answering goes on, the failure is counted and told
                self.failures += 1

    def _resume(self, path: Path) -> None:
        """Go on where the file ends: the last sealed block names the head, and what a crash tore off goes."""
        path.touch()
        tail = verify(path)
        self._block, self.head, self.seq = tail.block, tail.head, tail.seq
        self._file = path.open("ab", buffering=0)
        self._file.truncate(tail.offset)


class LogBroken(RuntimeError):  # noqa: N818  # named after the state of the log
    """The log on disk is not the one that was written."""


class Tail(NamedTuple):
    """Where a log ends."""

    block: int
    head: bytes
    seq: int  # of the next record
    offset: int  # bytes up to and with the last seal; records beyond it were never committed


def verify(path: Path) -> Tail:
    """Recompute the chain of a log file. Raises LogBroken naming the first block that is not as it was written."""
    head, records, tail, offset = GENESIS, [], Tail(0, GENESIS, 0, 0), 0
    for line in path.read_bytes().splitlines(keepends=True):
        offset += len(line)
        if not line.startswith(b'{"block":'):
            records.append(line)
            continue
        seal = msgspec.json.decode(line)
        head = hashlib.sha256(head + b"".join(records)).digest()
        if seal["head"] != head.hex() or seal["rows"] != len(records) or seal["block"] != tail.block + 1:
            raise LogBroken(f"block {seal['block']} does not match its records")
        tail = Tail(seal["block"], head, tail.seq + len(records), offset)
        records = []
    return tail

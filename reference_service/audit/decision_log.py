"""Every decision, in an order that cannot be changed unseen: chained blocks of SHA-256, written in groups.

A block's head is SHA-256(previous head + its records). Changing, dropping or swapping a record changes every later
head. A chain alone cannot show that its end was cut off, which is why `/v1/decisions` exports the head.

While the sink fails, blocks wait in memory, in order, and are tried again with the next one. When too many wait, what
comes is not logged, and the next block says how many were lost.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, Protocol, runtime_checkable

import msgspec

from reference_service.audit.records import Decision, Entry, digest, payload_line
from reference_service.clock import Clock

GENESIS: Final = bytes(32)
Anomaly = Callable[[Any, Sequence[Sequence[float]]], list[float]]
_encoder: Final = msgspec.json.Encoder()
_bundle: Final = itemgetter(4)


class Block(msgspec.Struct, frozen=True, gc=False):
    """The seal under a block's records."""

    block: int
    rows: int
    lost: int  # decisions since the start of the process that could not be kept
    next_seq: int
    previous: str
    head: str


class Sink(Protocol):
    """Where blocks go. One method."""

    def __call__(self, records: bytes, payloads: bytes) -> Awaitable[None] | None:
        """Hand one whole block to the operating system. Raises OSError; then nothing of it was written."""


@runtime_checkable
class Closing(Protocol):
    """A sink that holds something until the end."""

    def close(self) -> None:
        """Let go of it."""


class DecisionLog:
    """A ring in memory and, where a sink is given, what the sink makes of it.

    Args:
        clock: for the group commit.
        rows: records in a block, at most.
        wait_ns: how long a record waits for company.
        patience_ns: a write that takes longer has failed.
        ring: records kept in memory.
        backlog: records that may wait for a sink that fails.
        anomaly: (version's bundle, received values of its rows) → a number for each row.
        onlooker: is shown every block's decisions, once their anomaly is known.
        sink: None: memory only.
        tail: of an earlier life: (block, head, next seq).
    """

    __slots__ = ("_anomaly", "_backlog", "_block", "_clock", "_limit", "_onlooker", "_patience_ns", "_pending",
                 "_ring", "_rows", "_sink", "_unwritten", "_wait_ns", "_waiting", "_writer", "failing", "failures",
                 "head", "lost",
                 "seq")  # fmt: skip

    def __init__(
        self,
        clock: Clock,
        *,
        rows: int,
        wait_ns: int,
        ring: int,
        patience_ns: int = 1_000_000_000,
        backlog: int = 1 << 16,
        anomaly: Anomaly | None = None,
        onlooker: Callable[[Sequence[Decision]], None] | None = None,
        sink: Sink | None = None,
        tail: tuple[int, bytes, int] = (0, GENESIS, 0),
    ) -> None:
        self._clock = clock
        self._rows = rows
        self._wait_ns = wait_ns
        self._patience_ns = patience_ns
        self._ring: deque[Decision] = deque(maxlen=ring)
        self._limit = backlog
        self._anomaly = anomaly
        self._onlooker = onlooker
        self._sink = sink
        self._pending: list[Entry] = []
        self._backlog: deque[tuple[bytes, bytes, int]] = deque()  # blocks to write: records, payloads, rows
        self._unwritten = 0  # rows in it
        self._waiting: asyncio.Future[bool] | None = None
        self._writer: asyncio.Task[None] | None = None
        self._block, self.head, self.seq = tail
        self.failing = False  # whether the last attempt to write failed, so that records wait for the next one
        self.failures = 0  # attempts to write that failed
        self.lost = 0  # decisions that could not be kept

    @property
    def durable(self) -> bool:
        """Whether a reply has to wait for `committed`."""
        return self._sink is not None

    def append(self, decision: Decision, body: bytes, received: list[float], used: list[float], bundle: Any) -> None:
        """Add one record, whose `seq` is this log's. Nobody may change the lists afterwards.

        Args:
            decision: the record.
            body: the request as it came.
            received: values in contract order, before any default.
            used: values that the model was given; the same list where nothing was replaced.
            bundle: of the version that answered, for the anomaly score.
        """
        if self._unwritten >= self._limit:
            self.lost += 1
            return
        self.seq += 1
        pending = self._pending
        pending.append((decision, body, received, used, bundle))
        if len(pending) >= self._rows:
            self._close_block()

    def committing(self) -> asyncio.Future[bool] | None:
        """The write of everything appended so far: whether it has been handed to the operating system.

        None where nobody has to wait. One future for all who wait for the same write: add to it, and do not cancel it.
        """
        if self._sink is None or (not self._pending and not self._backlog):
            return None
        if self._waiting is None:
            loop = asyncio.get_running_loop()
            self._waiting = loop.create_future()
            if self._writer is None:
                self._writer = loop.create_task(self._write())
        return self._waiting

    async def committed(self) -> bool:
        """Wait for it."""
        written = self.committing()
        return True if written is None else await asyncio.shield(written)

    def flush(self) -> None:
        """Close the open block; have written what waits."""
        self._close_block()
        if self._backlog and self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(self._write())

    def recent(self, limit: int) -> list[Decision]:
        """The last records, oldest first."""
        self._close_block()
        return list(self._ring)[-limit:] if limit > 0 else []

    async def close(self) -> None:
        """Write what is left, once, and let go of the sink."""
        if self._writer is not None:
            await self._writer
        self._close_block()
        await self._write_backlog()
        if isinstance(self._sink, Closing):
            self._sink.close()

    # ------------------------------------------------------------ writing

    async def _write(self) -> None:
        """Write in groups for as long as somebody waits for it."""
        try:
            await self._clock.sleep(self._wait_ns)
            while True:
                self._close_block()
                waiting, self._waiting = self._waiting, None
                written = await self._write_backlog()
                if waiting is not None and not waiting.done():
                    waiting.set_result(written)
                if self._waiting is None:
                    return
                # Those who came during a write have had company for its time, unless it took none.
                await self._clock.sleep(self._wait_ns)
        finally:
            self._writer = None

    async def _write_backlog(self) -> bool:
        """Write block after block, oldest first; False once the sink fails."""
        sink, backlog = self._sink, self._backlog
        while backlog and sink is not None:
            records, payloads, rows = backlog[0]
            try:
                done = sink(records, payloads)
                if done is not None:
                    async with asyncio.timeout(self._patience_ns * 1e-9):
                        await done
            except (OSError, TimeoutError):  # disk full, sink stalled: counted and told, and tried again
                self.failing = True
                self.failures += 1
                return False
            backlog.popleft()
            self._unwritten -= rows
        self.failing = False
        return True

    # ------------------------------------------------------------ closing a block

    def _close_block(self) -> None:
        entries, self._pending = self._pending, []
        if not entries:
            return
        self._judge(entries)
        decisions = [entry[0] for entry in entries]
        if self._onlooker is not None:
            self._onlooker(decisions)
        payloads = b""
        if self._sink is not None:
            lines = []
            for decision, body, received, used, _ in entries:
                line = payload_line(decision, body, received, used)
                decision.payload = digest(line)
                lines.append(line)
            payloads = b"\n".join(lines) + b"\n"
        self._ring.extend(decisions)
        records = _encoder.encode_lines(decisions)
        previous, self.head = self.head, hashlib.sha256(self.head + records).digest()
        self._block += 1
        if self._sink is not None:
            seal = Block(self._block, len(entries), self.lost, self.seq, previous.hex(), self.head.hex())
            self._backlog.append((records + _encoder.encode(seal) + b"\n", payloads, len(entries)))
            self._unwritten += len(entries)

    def _judge(self, entries: list[Entry]) -> None:
        if self._anomaly is None:
            return
        # One call a version: a block is of one version but for the minutes of a release.
        for bundle, group in groupby(entries, key=_bundle):
            rows = list(group)
            scores = self._anomaly(bundle, [entry[2] for entry in rows])
            for entry, score in zip(rows, scores, strict=True):
                entry[0].anomaly = score

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
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

import msgspec

from reference_service.audit.records import PERSON, Decision, Payload, payload_lines
from reference_service.clock import Clock

GENESIS: Final = bytes(32)
Anomaly = Callable[[Any, Sequence[Any]], list[float]]
Told = Callable[[bool], None]
_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Decision)


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
        wait_ns: how long a record waits for company, at most, while more keep coming.
        patience_ns: a write that takes longer has failed.
        ring: records kept in memory, at least; as they are written, since objects would crowd out of the processor's
            caches what every request needs.
        backlog: records that may wait for a sink that fails.
        anomaly: (version's bundle, what was received of its rows, as in `Payload`) → a number for each row.
        onlooker: is shown every block's decisions, once their anomaly is known.
        sink: None: memory only.
        tail: of an earlier life: (block, head, next seq).
    """

    __slots__ = ("_anomaly", "_backlog", "_block", "_clock", "_keep", "_limit", "_onlooker",
                 "_patience_ns", "_pending", "_ring", "_ringed", "_rows", "_short", "_sink", "_told",
                 "_unwritten", "_wait_ns", "_writer", "_writing", "durable", "failing", "failures",
                 "head", "lost", "seq")  # fmt: skip

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
        self._ring: deque[tuple[bytes, int]] = deque()  # the last blocks' records, and how many they are
        self._ringed = 0  # records in it
        self._keep = ring
        self._limit = backlog
        self._anomaly = anomaly
        self._onlooker = onlooker
        self._sink = sink
        self.durable = sink is not None  # a reply has to wait for `committed`
        self._pending = _Open([], [], [])
        self._backlog: deque[tuple[bytes, bytes, int]] = deque()  # blocks to write: records, payloads, rows
        self._unwritten = 0  # rows in it
        self._told: list[Told] = []  # to be told of the next write
        self._writing = False
        self._writer: asyncio.Task[None] | None = None  # while the sink takes its time
        self._block, self.head, self.seq = tail
        self.failing = False  # whether the last attempt to write failed, so that records wait for the next one
        self.failures = 0  # attempts to write that failed
        self.lost = 0  # decisions that could not be kept
        self._short = False  # one of those who wait for the next write is among them, and nobody knows which

    def append(self, decision: Decision, payload: Payload, bundle: Any) -> None:
        """Add one record, whose `seq` is this log's. Nobody may change any of it afterwards.

        Args:
            decision: the record.
            payload: what it was made from.
            bundle: of the version that answered, for the anomaly score.
        """
        if self._unwritten >= self._limit:
            self.lost += 1
            self._short = True
            return
        self.seq += 1
        pending = self._pending
        pending.decisions.append(decision)
        pending.payloads.append(payload)
        spans = pending.spans
        if not spans or spans[-1][0] is not bundle:  # a block is of one version but for the minutes of a release
            spans.append((bundle, len(pending.payloads) - 1))
        if len(pending.decisions) >= self._rows:
            self._close_block()

    def tell(self, told: Told) -> None:
        """Have it told whether everything appended so far has been handed to the operating system; at once if it has.

        A callback, since a task and a future for every turn of the loop would take longer than to write.
        """
        if self._sink is None or (not self._pending.decisions and not self._backlog):
            told(True)  # noqa: FBT003 - as `Told` has it
            return
        self._told.append(told)
        if not self._writing:
            self._begin()

    async def committed(self) -> bool:
        """Whether everything appended so far has been handed to the operating system, once that is known."""
        written = asyncio.get_running_loop().create_future()
        self.tell(lambda found: None if written.done() else written.set_result(found))  # done: nobody waits any more
        found: bool = await written
        return found

    def flush(self) -> None:
        """Close the open block; have written what waits."""
        self._close_block()
        if self._backlog and not self._writing:
            self._begin()

    def recent(self, limit: int) -> list[Decision]:
        """The last records, oldest first."""
        self._close_block()
        found: list[Decision] = []
        for records, _ in reversed(self._ring):
            if len(found) >= limit:
                break
            found[:0] = _decoder.decode_lines(records)
        return found[-limit:] if limit > 0 else []

    async def close(self) -> None:
        """Write what is left, once, and let go of the sink."""
        while self._writing:
            await self.committed()
        self._close_block()
        await self._written(self._write())
        if isinstance(self._sink, Closing):
            self._sink.close()

    # ------------------------------------------------------------ writing

    def _begin(self) -> None:
        self._writing = True
        asyncio.get_running_loop().call_soon(self._gather, 0, self._clock.now_ns() + self._wait_ns)

    def _gather(self, rows: int, until_ns: int) -> None:
        """Write once a turn of the loop has brought no further record; so late, at most, as the policy says.

        Clients that have just been answered together ask again together, and their requests are read within a turn or
        two. Who is alone waits for nobody.

        Args:
            rows: that waited at the last turn.
            until_ns: the latest.
        """
        waiting = len(self._pending.decisions)
        if waiting > rows and self._clock.now_ns() < until_ns:
            asyncio.get_running_loop().call_soon(self._gather, waiting, until_ns)
            return
        self._close_block()
        told, self._told = self._told, []
        short, self._short = self._short, False
        slow = self._write()
        if slow is None:
            self._tell(told, written=not (self.failing or short))
        else:
            self._writer = asyncio.get_running_loop().create_task(self._tell_late(slow, told, short=short))

    def _tell(self, told: list[Told], *, written: bool) -> None:
        self._writing = False
        for each in told:
            each(written)
        if self._told and not self._writing:
            self._begin()

    async def _tell_late(self, slow: Awaitable[None], told: list[Told], *, short: bool) -> None:
        await self._written(slow)
        self._tell(told, written=not (self.failing or short))

    def _write(self) -> Awaitable[None] | None:
        """Write block after block, oldest first, until the sink fails. What the first of them still takes, if any."""
        sink, backlog = self._sink, self._backlog
        while backlog and sink is not None:
            records, payloads, rows = backlog[0]
            try:
                slow = sink(records, payloads)
            except OSError:  # disk full
                self._failed()
                return None
            if slow is not None:
                return slow
            backlog.popleft()
            self._unwritten -= rows
        self.failing = False
        return None

    async def _written(self, slow: Awaitable[None] | None) -> None:
        """Wait for what `_write` says, and for the blocks after it."""
        while slow is not None:
            try:
                async with asyncio.timeout(self._patience_ns * 1e-9):
                    await slow
            except (OSError, TimeoutError):  # the sink stalls
                self._failed()
                return
            self._unwritten -= self._backlog.popleft()[2]
            slow = self._write()

    def _failed(self) -> None:
        """Counted and told, and tried again with the next block."""
        self.failing = True
        self.failures += 1

    # ------------------------------------------------------------ closing a block

    def _close_block(self) -> None:
        decisions, payloads, spans = self._pending
        if not decisions:
            return
        self._pending = _Open([], [], [])
        self._judge(decisions, payloads, spans)
        if self._onlooker is not None:
            self._onlooker(decisions)
        kept = payload_lines(decisions, payloads) if self._sink is not None else b""
        records = _encoder.encode_lines(decisions)
        self._remember(records, len(decisions))
        chained = hashlib.sha256(self.head)
        chained.update(records)
        previous, self.head = self.head, chained.digest()
        self._block += 1
        if self._sink is not None:
            seal = Block(self._block, len(decisions), self.lost, self.seq, previous.hex(), self.head.hex())
            self._backlog.append((records + _encoder.encode(seal) + b"\n", kept, len(decisions)))
            self._unwritten += len(decisions)

    def _remember(self, records: bytes, rows: int) -> None:
        ring = self._ring
        ring.append((records, rows))
        self._ringed += rows
        while ring and self._ringed - ring[0][1] >= self._keep:
            self._ringed -= ring.popleft()[1]

    def _judge(self, decisions: list[Decision], payloads: list[Payload], spans: list[tuple[Any, int]]) -> None:
        if self._anomaly is None:
            return
        rows = [payload.received for payload in payloads]
        scores: list[float] = []
        ends = [*[begin for _, begin in spans[1:]], len(rows)]
        for (bundle, begin), end in zip(spans, ends, strict=True):
            scores += self._anomaly(bundle, rows[begin:end])
        for decision, score in zip(decisions, scores, strict=True):
            # A person's word has no row: taken for one, it would be more unusual than any that people ought to see.
            decision.anomaly = None if decision.source == PERSON else score


class _Open(NamedTuple):
    """A block that is not closed yet."""

    decisions: list[Decision]
    payloads: list[Payload]
    spans: list[tuple[Any, int]]  # bundles, and with which record each begins

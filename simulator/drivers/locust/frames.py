"""What the run, Locust's master and its workers say to each other; on a stream, each frame behind its length.

All times in frames are nanoseconds from the plan's zero, except `Go.zero_ns`, which is the reader's own monotonic
clock: the master translates it for each worker.
"""

from __future__ import annotations

from typing import Final

import msgspec

HEAD: Final = 4  # bytes of a frame's length, big-endian
LONGEST: Final = 1 << 28  # a frame longer than this is no frame of ours


class Way(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A fault proxy that leads to the service."""

    host: str
    port: int
    parted: bool  # takes no connection


class Shipment(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One request of the plan, ready to be sent."""

    request: int  # ordinal in the plan
    scheduled_ns: int
    body: bytes
    key: str = ""  # idempotency key; empty: none
    retry_u: float = 0.0  # the uniform that its retries wait by
    way: int = -1  # of the job's, for its first attempt; -1: straight


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How one request went. `sent_ns` is -1 if it could not be sent, `replied_ns` if nothing came back."""

    request: int
    sent_ns: int
    replied_ns: int
    ended_ns: int
    status: int
    digest: int  # CRC-32 of the bytes that were sent
    reply: bytes
    failure: int  # an Outcome, -1 if there is a reply
    attempt: int = 1
    earlier_ns: int = 0  # how long before `sent_ns` its first attempt left, by which the driver's lag is judged


class _Frame(msgspec.Struct, frozen=True, array_like=True, tag=True):
    pass


class Enlist(_Frame, frozen=True):
    """Run → master: I may use you."""

    token: str


class Hello(_Frame, frozen=True):
    """Master → run: so many workers are yours."""

    workers: int


class Job(_Frame, frozen=True):
    """Run → every worker: a run begins; forget the one before."""

    run: str
    name: str  # of the run, as Locust's statistics show it
    url: str  # scheme, host and port
    path: str
    headers: tuple[tuple[bytes, bytes], ...]
    timeout_ns: int
    fine: tuple[int, ...]  # statuses of 400 and above that are no failure of the service
    shed: tuple[int, ...] = ()  # those after which a client tries again
    retries: int = 0
    ways: tuple[Way, ...] = ()


class Astray(_Frame, frozen=True):
    """Worker → run: a way of the job does not begin here, and whatever were sent there would say nothing."""

    run: str
    way: str  # host:port


class Parcel(_Frame, frozen=True):
    """Run → one worker: the next part of its shard; `last` closes the shard."""

    worker: int
    shipments: tuple[Shipment, ...]
    last: bool = False


class Sync(_Frame, frozen=True):
    """Run → master: everything so far has been shipped; compare your clock with the workers'."""


class Synced(_Frame, frozen=True):
    """Master → run: the largest error of each worker's clock."""

    errors_ns: tuple[int, ...]


class Ping(_Frame, frozen=True):
    """Master → worker."""

    sent_ns: int  # the master's clock


class Pong(_Frame, frozen=True):
    """Worker → master, at once."""

    sent_ns: int  # as in the ping
    here_ns: int  # the worker's clock


class Go(_Frame, frozen=True):
    """Run → every worker: the plan's zero, on the reader's monotonic clock."""

    zero_ns: int


class Halt(_Frame, frozen=True):
    """Run → every worker: send nothing more."""


class Report(_Frame, frozen=True):
    """Worker → run: requests that ended since the last report."""

    run: str
    worker: int
    entries: tuple[Entry, ...]


class Done(_Frame, frozen=True):
    """Worker → run: my shard is through; `drift_ns` (by the master): how far its clock went astray meanwhile."""

    run: str
    worker: int
    drift_ns: int = 0


class Lost(_Frame, frozen=True):
    """Master → run: that worker is gone, or the whole fleet was told to stop (-1)."""

    worker: int


Frame = (
    Enlist | Hello | Job | Astray | Parcel | Sync | Synced | Ping | Pong | Go | Halt | Report | Done | Lost
)  # fmt: skip

_DECODE: Final = msgspec.msgpack.Decoder(Frame)
_ENCODE: Final = msgspec.msgpack.Encoder()


def pack(frame: Frame) -> bytes:
    """A frame's bytes, without their length."""
    return _ENCODE.encode(frame)


def unpack(data: bytes) -> Frame:
    """The frame. Raises msgspec.DecodeError for anything else."""
    frame: Frame = _DECODE.decode(data)
    return frame


def framed(frame: Frame) -> bytes:
    """A frame's bytes behind their length, for a stream."""
    data = pack(frame)
    return len(data).to_bytes(HEAD, "big") + data

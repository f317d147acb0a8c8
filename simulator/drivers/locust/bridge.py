"""Locust's master between one run and the workers: it routes frames, and knows how their clocks stand to its own.

A run connects over loopback and shows the token. One run at a time; what belongs to an earlier one is dropped.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import gevent
import gevent.event
import gevent.lock
import msgspec
from gevent.server import StreamServer

from simulator.drivers.locust.frames import (
    HEAD,
    LONGEST,
    Astray,
    Done,
    Enlist,
    Frame,
    Go,
    Halt,
    Hello,
    Job,
    Lost,
    Parcel,
    Ping,
    Pong,
    Report,
    Sync,
    Synced,
    framed,
    unpack,
)  # fmt: skip

_PINGS: Final = 5  # the quickest of them counts
_PATIENCE: Final = 10.0  # seconds for a worker to answer a ping: it may have a shard to unpack first
_WATCH_EVERY: Final = 0.5  # seconds


class Bridge:
    """`members` names the workers that are there, `tell` sends one of them a frame."""

    def __init__(
        self, token: str, members: Callable[[], Sequence[str]], tell: Callable[[str, Frame], None], port: int = 0
    ) -> None:
        self._token, self._members, self._tell = token, members, tell
        self._server = StreamServer(("127.0.0.1", port), self._serve)
        self._server.start()
        self._open = gevent.event.Event()  # the fleet is complete, or was told to stop
        self._dismissed = False
        self._one = gevent.lock.BoundedSemaphore()
        self._mouth = gevent.lock.BoundedSemaphore()
        self.left = gevent.event.Event()  # a run was here and is gone
        self._fleet: list[str] = []
        self._socket: Any = None
        self._pongs: dict[str, list[tuple[int, int]]] = {}
        self._ponged = gevent.event.Event()
        self._offsets: dict[str, tuple[int, int]] = {}  # worker → (its clock less ours, at most so wrong)
        self._lost: set[str] = set()

    @property
    def address(self) -> str:
        """For `FLEET` in the run's environment."""
        return f"{self._server.server_port}:{self._token}"

    @property
    def busy(self) -> bool:
        """Whether a run is connected."""
        return self._socket is not None

    def muster(self) -> None:
        """The fleet is complete: runs may come."""
        self._dismissed = False
        self._open.set()

    def dismiss(self) -> None:
        """The fleet was told to stop: the run at hand heals its target and does not go on, none comes after it."""
        self._dismissed = True
        self._open.set()
        self._halt()
        self._say(Lost(-1))

    def _halt(self) -> None:
        for member in self._fleet:
            self._tell(member, Halt())

    def hear(self, member: str, frame: Frame) -> None:
        """Whatever a worker sends."""
        if isinstance(frame, Pong):
            here = time.monotonic_ns()
            round_trip = here - frame.sent_ns
            self._pongs.setdefault(member, []).append((round_trip, frame.here_ns - frame.sent_ns - round_trip // 2))
            self._ponged.set()
        elif isinstance(frame, Report | Astray):
            self._say(frame)
        elif isinstance(frame, Done):
            gevent.spawn(self._done, member, frame)

    def _done(self, member: str, done: Done) -> None:
        before = self._offsets.get(member)
        after = self._compare(member)
        drift = abs(after[0] - before[0]) + after[1] if after and before else 0
        self._say(Done(done.run, done.worker, drift))

    def _say(self, frame: Frame) -> None:
        with self._mouth:  # two greenlets must not put their bytes into each other's frames
            if self._socket is not None:
                with contextlib.suppress(OSError):  # its reader will see that it is gone
                    self._socket.sendall(framed(frame))

    # ------------------------------------------------------------ one run

    def _serve(self, connection: Any, _address: Any) -> None:
        try:
            first = _read(connection)
            if isinstance(first, Enlist) and secrets.compare_digest(first.token, self._token):
                with self._one:  # the run before may still be on its way out
                    self._run(connection)
        except (OSError, msgspec.DecodeError):
            pass  # the run is gone, or was none of ours
        finally:
            connection.close()

    def _run(self, connection: Any) -> None:
        self._open.wait()
        if self._dismissed:
            return
        self._socket = connection
        self._fleet, self._lost, self._offsets = sorted(self._members()), set(), {}
        watch = gevent.spawn(self._watch)
        try:
            self._say(Hello(len(self._fleet)))
            while (frame := _read(connection)) is not None:
                self._route(frame)
        finally:
            watch.kill(block=False)
            self._socket = None
            self._halt()
            self.left.set()

    def _route(self, frame: Frame) -> None:
        if isinstance(frame, Parcel):
            self._tell(self._fleet[frame.worker], frame)
        elif isinstance(frame, Job | Halt):
            for member in self._fleet:
                self._tell(member, frame)
        elif isinstance(frame, Sync):
            found = {member: self._compare(member) for member in self._fleet}
            self._offsets = {member: offset for member, offset in found.items() if offset}
            unknown = int(_PATIENCE * 1e9)
            self._say(Synced(tuple(self._offsets.get(member, (0, unknown))[1] for member in self._fleet)))
        elif isinstance(frame, Go):
            for member in self._fleet:
                self._tell(member, Go(frame.zero_ns + self._offsets.get(member, (0, 0))[0]))

    def _compare(self, member: str) -> tuple[int, int] | None:
        """(the worker's clock less ours, half the round trip: the most it can be wrong); None if it does not answer."""
        self._pongs.pop(member, None)
        deadline = time.monotonic() + _PATIENCE
        for count in range(1, _PINGS + 1):
            self._tell(member, Ping(time.monotonic_ns()))
            while len(self._pongs.get(member, ())) < count:
                self._ponged.clear()
                if not self._ponged.wait(max(0.0, deadline - time.monotonic())):
                    return None
        round_trip, offset = min(self._pongs[member])
        return offset, round_trip // 2

    def _watch(self) -> None:
        while True:
            gevent.sleep(_WATCH_EVERY)
            there = set(self._members())
            for worker, member in enumerate(self._fleet):
                if member not in there and member not in self._lost:
                    self._lost.add(member)
                    self._say(Lost(worker))


def _read(connection: Any) -> Frame | None:
    """The next frame; None at the end."""
    head = _exactly(connection, HEAD)
    if head is None:
        return None
    length = int.from_bytes(head, "big")
    body = _exactly(connection, length) if length <= LONGEST else None
    return None if body is None else unpack(body)


def _exactly(connection: Any, n: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < n:
        data = connection.recv(min(n - len(parts), 1 << 20))
        if not data:
            return None
        parts += data
    return bytes(parts)

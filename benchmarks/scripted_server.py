"""A server whose delays are known before it is asked: ``python -m benchmarks.scripted_server PORT CRC DELAY [RECORD]``.

It answers a body after the delay that the body's own CRC-32 says, and stands still for two seconds once the body of the
given CRC comes. With DELAY 0 it answers at once. A busy machine makes it later than its script: when it really wrote
which reply, by the clock that all processes of a machine share, goes to the file RECORD at the end.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any
from zlib import crc32

from simulator.drivers.wire import PreciseLoop

STALL = 2.0
REPLY = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 13\r\n\r\n{"score":0.5}'


def delay(body: bytes) -> float:
    """Seconds; a Pareto tail: half under 3 ms, one in a thousand over 60 ms."""
    return min(0.5, 0.002 / (1 - crc32(body) / 2**32) ** 0.5)


WRITTEN: dict[int, int] = {}  # CRC-32 of a body → when its reply was written, in nanoseconds of the monotonic clock


class Line(asyncio.Protocol):
    """One connection."""

    def __init__(self, stall_at: int, *, delays: bool) -> None:
        self.stall_at, self.delays, self.got = stall_at, delays, b""

    def connection_made(self, transport: Any) -> None:
        """The other side is there."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """A request, or the rest of one."""
        self.got += data
        head, end, body = self.got.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if not end or len(body) < int(length or 0):
            return
        self.got = b""
        if self.stall_at and crc32(body) == self.stall_at:
            time.sleep(STALL)
        if self.delays and head.startswith(b"POST"):
            asyncio.get_running_loop().call_later(delay(body), self._reply, crc32(body))
        else:
            self._reply(crc32(body))

    def _reply(self, crc: int) -> None:
        WRITTEN.setdefault(crc, time.monotonic_ns())
        self.transport.write(REPLY)


async def main(port: int, stall_at: int, *, delays: bool) -> None:
    """Serve until the end."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Line(stall_at, delays=delays), "127.0.0.1", port, backlog=4096)
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    async with server:
        await ended.wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=PreciseLoop) as runner:
        runner.run(main(int(sys.argv[1]), int(sys.argv[2]), delays=sys.argv[3] == "1"))
    if len(sys.argv) > 4:  # noqa: PLR2004 - the fourth argument
        Path(sys.argv[4]).write_text(json.dumps(WRITTEN), encoding="utf-8")

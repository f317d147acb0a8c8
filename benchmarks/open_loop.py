"""Open loop at 100,000 requests a minute, every safeguard on: ``python -m benchmarks.open_loop [seconds]``.

Requests leave when the schedule says so, whatever became of those before; latency counts from that moment. The service
is on the first core, we on the second. One line: percentiles against their limits, errors, and the service's memory.
"""

from __future__ import annotations

import asyncio
import collections
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import uvloop

from benchmarks import forest24
from benchmarks.under_load import Server, prepared, running

RATE = 1_667  # requests a second
CONNECTIONS = 64
LIMITS_MS = {"p99": 10.0, "p99.9": 25.0}
BODIES = 2000


class Client(asyncio.Protocol):
    """One keep-alive connection with at most one request on it."""

    def __init__(self, free: collections.deque[Client], waiting: collections.deque[tuple[float, bytes]]) -> None:
        self.free, self.waiting = free, waiting
        self.due = 0.0
        self.late: list[float] = []
        self.errors = 0
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self.transport: asyncio.WriteTransport = transport  # type: ignore[assignment]
        self.free.append(self)

    def ask(self, due: float, request: bytes) -> None:
        """Send."""
        self.due = due
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """One answer comes in one piece or in several."""
        self.buffer += data
        head, _, body = self.buffer.partition(b"\r\n\r\n")
        length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if not length or len(body) < int(length):
            return
        self.late.append(time.perf_counter() - self.due)
        self.errors += not head.startswith(b"HTTP/1.1 200 ")
        self.buffer = b""
        if self.waiting:
            self.ask(*self.waiting.popleft())
        else:
            self.free.append(self)


async def drive(server: Server, seconds: float, resident: list[int], pid: int) -> tuple[list[float], int, float]:
    """(seconds from each request's due time to its answer, errors, how late we were ourselves at the worst)."""
    rows = forest24.rows(BODIES, 5).tolist()
    sent = [server.body(k, row) for k, row in enumerate(rows)]
    head = f"POST {server.path} HTTP/1.1\r\nhost: x\r\ncontent-length: "
    requests = [f"{head}{len(body)}\r\n\r\n".encode() + body for body in sent]
    free: collections.deque[Client] = collections.deque()
    waiting: collections.deque[tuple[float, bytes]] = collections.deque()
    loop = asyncio.get_running_loop()
    clients = []
    for _ in range(CONNECTIONS):
        _, client = await loop.create_connection(lambda: Client(free, waiting), "127.0.0.1", server.port)
        clients.append(client)
    begin, ours = time.perf_counter() + 0.1, 0.0
    total = int(RATE * seconds)
    for k in range(total):
        due = begin + k / RATE
        while (ahead := due - time.perf_counter()) > 0:  # noqa: ASYNC110  # the schedule is the event
            await asyncio.sleep(ahead)
        ours = max(ours, -ahead)
        if free:
            free.popleft().ask(due, requests[k % BODIES])
        else:
            waiting.append((due, requests[k % BODIES]))
        if k % RATE == 0:
            resident.append(_resident(pid))
            await asyncio.sleep(0)
    until = time.perf_counter() + 10
    while sum(len(client.late) for client in clients) < total and time.perf_counter() < until:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    late = [each for client in clients for each in client.late]
    return late, sum(client.errors for client in clients) + total - len(late), ours


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def main() -> None:
    """Measure and print."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60

    with tempfile.TemporaryDirectory(prefix="seatrial-open-") as name:
        folder = Path(name)
        resident: list[int] = []
        core = max(os.sched_getaffinity(0))
        ours, _ = prepared(folder)
        with running(ours, "0") as pid:
            os.sched_setaffinity(0, {core})
            uvloop.run(drive(ours, min(5, seconds), [], pid))  # warm
            late, errors, own = uvloop.run(drive(ours, seconds, resident, pid))
    millis = np.array(late) * 1e3
    found = {f"p{q:g}": round(float(np.percentile(millis, q)), 3) for q in (50, 99, 99.9)}
    half = len(resident) // 2
    line = {
        "name": "http.open_loop",
        "ours": found,
        "limits": LIMITS_MS,
        "kept": not errors and all(found[name] <= limit for name, limit in LIMITS_MS.items()),
        "errors": errors,
        "rate": RATE,
        "seconds": seconds,
        "generator_late_ms": round(own * 1e3, 3),
        "resident_mib": [round(float(np.mean(part)) / 2**20, 1) for part in (resident[:half], resident[half:])],
        "unit": "ms",
        "n": len(late),
    }
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()

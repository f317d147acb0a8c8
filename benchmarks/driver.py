"""The live driver against a server whose delays are known: ``python -m benchmarks.driver``.

Latencies: p50 to p99.9 as the driver measured them beside what the script makes them, also when the server stands
still for two seconds; a closed loop of the same rate stands beside it and does not see the half of it. Rate: requests
per second of the driver's own CPU, recording included, beside Locust's FastHttpUser, which needs ``--group locust``.

On a busy machine the server itself is later than its script. It records when it really wrote each reply, by the clock
that it shares with the driver, so that an error is laid at the door of the one who made it: the driver is judged by
what the server did, and how far that is from the script stands beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from benchmarks.figures import show
from benchmarks.scripted_server import STALL, delay
from simulator.drivers.answer import Answer
from simulator.drivers.live import Sockets
from simulator.drivers.spec import RunSpec
from simulator.drivers.start import free_port
from simulator.drivers.voyage import Voyage
from simulator.drivers.wire import PreciseLoop, Wire
from simulator.scenario.load import load
from simulator.scenario.quantities import SECOND
from simulator.targets.model import Target

RATE, SECONDS = 300, 12  # of the latencies
FAST, LONG = 8000, 4  # of the rate: more than one core holds, so that nobody is paid for waiting
SHARES = (0.5, 0.9, 0.99, 0.999)
CLIENTS = 8
PAIRS = 3
RECORD = "written.json"  # what the server did, by its own account


def spec(folder: Path, rate: int, seconds: int, stall_at: int, *, delays: bool) -> RunSpec:
    """A clean run of card payments against the scripted server."""
    path = folder / "bench.scenario.yaml"
    document = {
        "seatrial": 1, "title": "a benchmark", "seed": 5, "runs_on": ["live"],
        "given": {"population": "payments", "traffic": {"rate": f"{rate}/s", "for": f"{seconds}s"}, "warmup": "1s"},
        "when": [], "then": [{"id": "up", "error_rate": {"max": "50%"}}],
    }  # fmt: skip
    path.write_text(json.dumps(document), encoding="utf-8")
    (cell,) = load(path)
    command = [
        "$python",
        "-m",
        "benchmarks.scripted_server",
        "$port",
        str(stall_at),
        str(int(delays)),
        str(folder / RECORD),
    ]
    target = Target.model_validate({
        "target": 1, "start": {"command": command, "url": "http://127.0.0.1:$port"}, "protocol": "json",
        "read": {"score": "$.score"},
    })  # fmt: skip
    return RunSpec(
        cell.scenario, str(path), {}, "main", target, folder / "bench.target.yaml", "",
        folder / f"run-{stall_at}-{delays}",
        lambda *_: (True, ""), driver="live",
    )  # fmt: skip


class Timed(Sockets):
    """The driver's own sender, with its CPU counted."""

    cpu = 0.0

    async def send(self, voyage: Voyage) -> None:
        """As its base."""
        began = time.process_time()
        await super().send(voyage)
        self.cpu += time.process_time() - began

    async def finish(self, voyage: Voyage) -> None:
        """As its base, with what is still to be recorded."""
        began = time.process_time()
        await super().finish(voyage)
        voyage.recorder._settle()  # noqa: SLF001 - recording is part of the price
        self.cpu += time.process_time() - began


def carried_out(wanted: RunSpec) -> tuple[Any, float, Voyage]:
    """The history, the CPU seconds of sending and recording, and the voyage."""
    sender = Timed()

    async def go() -> tuple[Any, Voyage]:
        voyage = Voyage(wanted, lambda _: None, "live")
        return await voyage.go(sender), voyage

    with asyncio.Runner(loop_factory=PreciseLoop) as runner:
        history, voyage = runner.run(go())
    return history, sender.cpu, voyage


def truth(voyage: Voyage, stall_at: int) -> np.ndarray:
    """Seconds from the scheduled moment to the reply, as the script has them."""
    scheduled = np.array([p.scheduled_ns / SECOND for p in voyage.requests])
    delays = np.array([delay(p.body) for p in voyage.requests])
    due = scheduled + delays
    if stall_at:
        (k,) = (i for i, p in enumerate(voyage.requests) if crc32(p.body) == stall_at)
        began = scheduled[k]
        late = (scheduled >= began) & (scheduled < began + STALL)
        due = np.where(
            late,
            began + STALL + delays,
            np.where((scheduled < began) & (due > began), np.maximum(due, began + STALL), due),
        )
    return np.asarray(due - scheduled)


def done(folder: Path, voyage: Voyage, sent_ns: np.ndarray) -> np.ndarray:
    """Seconds from the sending to the writing of the reply: what a driver that costs nothing would have measured."""
    written = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    at = np.array([written[str(crc32(p.body))] for p in voyage.requests]) - voyage.zero_ns
    return np.asarray((at - sent_ns) / SECOND)


def latencies(folder: Path, stall_at: int, name: str) -> None:
    """Measured beside scripted."""
    history, _, voyage = carried_out(spec(folder, RATE, SECONDS, stall_at, delays=True))
    items = history.items
    measured = (items["replied_ns"] - items["scheduled_ns"]) / SECOND
    known, served = truth(voyage, stall_at), done(folder, voyage, items["sent_ns"])
    for share in SHARES:
        got, is_, plan = (float(np.quantile(of, share)) for of in (measured, served, known))
        allowed = max(0.001, 0.05 * is_)
        verdict = "within" if abs(got - is_) <= allowed else "NOT within"
        told = f"measured {got * 1e3:.2f} ms, served {is_ * 1e3:.2f} ms (scripted {plan * 1e3:.2f} ms)"
        print(f"{name} p{share * 100:g}: {told} ({verdict} max(1 ms, 5 %))")
    parts = {"sent late": (items["sent_ns"] - items["scheduled_ns"]) / SECOND, "read late": measured - served}
    parts["read late"] = parts["read late"] - parts["sent late"]
    for part, late in parts.items():
        print(f"{name}, {part}: " + ", ".join(f"p{s * 100:g} {np.quantile(late, s) * 1e3:.3f} ms" for s in SHARES))
    if stall_at:
        closed = closed_loop(stall_at, voyage)
        print(
            f"{name}, closed loop of {CLIENTS} clients beside it: "
            + ", ".join(f"p{s * 100:g} {np.quantile(closed, s) * 1e3:.1f} ms" for s in SHARES)
        )


def closed_loop(stall_at: int, voyage: Voyage) -> np.ndarray:
    """What clients measure that send their next request only after the last reply, from the sending on."""
    with scripted(stall_at, delays=True) as url, asyncio.Runner(loop_factory=PreciseLoop) as runner:
        return runner.run(_closed(url, voyage))


@contextlib.contextmanager
def scripted(stall_at: int, *, delays: bool) -> Iterator[str]:
    """The URL of a scripted server."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.scripted_server", str(port), str(stall_at), str(int(delays))]
    with subprocess.Popen(command) as server:
        try:
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


async def _closed(url: str, voyage: Voyage) -> np.ndarray:
    began = time.monotonic_ns()
    wire = Wire(url, "/predict", (), 10 * SECOND, lambda: time.monotonic_ns() - began)
    took: list[float] = []

    async def client(first: int) -> None:
        for planned in voyage.requests[first::CLIENTS]:
            wait = planned.scheduled_ns / SECOND - (time.monotonic_ns() - began) / SECOND
            if wait > 0:
                await asyncio.sleep(wait)
            answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            wire.post(planned.body, answer.set_result)
            got = await answer
            took.append((got.replied_ns - got.sent_ns) / SECOND)

    await asyncio.gather(*(client(k) for k in range(CLIENTS)))
    wire.close()
    return np.array(took)


LOCUSTFILE = """
import time
from locust import events, task
from locust.contrib.fasthttp import FastHttpUser
class One(FastHttpUser):
    @task
    def ask(self):
        self.client.post("/predict", data=BODY, headers={"content-type": "application/json"})
BODY = open("body", "rb").read()
@events.test_start.add_listener
def began(**_):
    global CPU
    CPU = time.process_time()
@events.quitting.add_listener
def ended(environment, **_):
    total = environment.stats.total.num_requests
    open("rate", "w").write(str(total / (time.process_time() - CPU)))
"""


def locusts_rate(folder: Path, body: bytes) -> float:
    """Requests per CPU second of FastHttpUser at full speed, with its statistics as they are."""
    (folder / "locustfile.py").write_text(LOCUSTFILE, encoding="utf-8")
    (folder / "body").write_bytes(body)
    with scripted(0, delays=False) as url:
        command = [sys.executable, "-m", "locust", "-f", "locustfile.py", "--headless", "-u", "16", "-r", "16"]
        subprocess.run(
            [*command, "-t", f"{LONG}s", "--host", url, "--only-summary"], cwd=folder, check=True, capture_output=True
        )
    rate = float((folder / "rate").read_text(encoding="utf-8"))
    assert rate > 0, "Locust sent nothing: this machine is too busy to measure on"  # noqa: S101 - nothing to stand beside
    return rate


def our_rate(folder: Path) -> tuple[float, bytes]:
    """Requests per CPU second of the live driver in an open loop, recording included; one of its bodies."""
    history, cpu, voyage = carried_out(spec(folder, FAST, LONG, 0, delays=False))
    assert (history.items["replied_ns"] >= 0).mean() > 0.99  # noqa: PLR2004, S101 - else there was nothing to measure
    return len(voyage.requests) / cpu, voyage.requests[0].body


def main() -> None:
    """Print every figure."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        latencies(folder, 0, "steady")
        plan = Voyage(spec(folder, RATE, SECONDS, 1, delays=True), lambda _: None, "live").requests
        latencies(folder, crc32(plan[len(plan) // 2].body), "two seconds' stall")
        if importlib.util.find_spec("locust") is None:
            print("rate: Locust is not installed (uv sync --group locust), so there is nothing to stand beside")
            return
        ours, theirs = [], []
        for _ in range(PAIRS):  # in turn, so that the machine's moods hit both
            rate, body = our_rate(folder)
            ours.append(rate)
            theirs.append(locusts_rate(folder, body))
        show("driver_rate", ours, theirs, peer_name="Locust's FastHttpUser", unit="requests per CPU second")


if __name__ == "__main__":
    main()

"""Requests per second of wall time in virtual time: one process, one core.

    python -m benchmarks.virtual_throughput [rounds]

`reference_service` is a whole run as `seatrial run` does it: plan, encoding, event loop, virtual CPU, the service
with all safeguards and monitors, decoding, labels, history on disk and its digest. `plain`, `starlette` and `fastapi`
are the driver alone around a small app: arrivals, a task per request, the virtual CPU, a reply; `plain_recorded` is
the plain app in a whole run. Not timed are imports and the start of the service. Each measurement has a process of its
own; rounds go through all in turn, so that ratios compare neighbours in time. The peer is `plain` of the same round.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.figures import show

WHOLE = ("reference_service", "plain_recorded")
DRIVER = ("plain", "starlette", "fastapi")
SCENARIO = """
seatrial: 1
title: a clean stretch
seed: 7
given:
  population: payments
  traffic: {rate: 100/s, for: 10m}
  labels: {delay: {median: 2m, p95: 6m}}
"""
ROOT = Path(__file__).resolve().parent.parent
REQUESTS = {"plain": 200_000, "starlette": 60_000, "fastapi": 20_000}
SERVICE_NS = 5_000_000
GAP_NS = 10_000_000


def now() -> float:
    """Seconds of real time, whatever clock the process believes in."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def whole_run(app: str) -> float:
    """Requests per second of one run with everything on."""
    from simulator.drivers.spec import RunSpec
    from simulator.drivers.virtual.run import prepare
    from simulator.scenario.load import load
    from simulator.targets.load import load as load_target

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clean.scenario.yaml"
        path.write_text(SCENARIO)
        cell = load(path)[0]
        target_path = ROOT / "scenarios/targets/payments.target.yaml"
        target = load_target(target_path)
        if app == "plain_recorded":
            start = target.start.model_copy(update={"asgi": "benchmarks.apps:plain", "clock": "none"})
            read = target.read.model_copy(update={"decision": None, "source": None, "reasons": None})
            update = {"start": start, "read": read, "alerts": None, "labels": None, "quality": None, "monitors": None}
            target = target.model_copy(update=update)
        out = Path(folder) / "run"
        run = prepare(
            RunSpec(cell.scenario, str(path), {}, "main", target, target_path, "", out, lambda *_: (True, ""))
        )
        began = now()
        history = run()
        seconds = now() - began
    answered = int((history.items["status"] == 200).sum())  # noqa: PLR2004 - all of them, or the figure is void
    if answered != len(history):
        raise SystemExit(f"{app}: only {answered} of {len(history)} were answered; notes: {history.notes}")
    return answered / seconds


def driver_alone(app: str) -> float:
    """Requests per second of the virtual driver around a small app."""
    import benchmarks.apps
    from benchmarks.apps import PATH
    from simulator.drivers.record import Planned
    from simulator.drivers.virtual.cpu import VirtualCpu
    from simulator.drivers.virtual.exchange import Client, Exchange
    from simulator.drivers.virtual.loop import VirtualLoop

    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    found = getattr(benchmarks.apps, app)
    application = found if app == "plain" else found()
    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "POST",
        "scheme": "http", "path": PATH, "raw_path": PATH.encode(), "query_string": b"", "root_path": "",
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
        "headers": [(b"host", b"service"), (b"content-type", b"application/json")],
    }  # fmt: skip
    body = b'{"id":"main-1","inputs":[{"name":"amount","shape":[1],"datatype":"FP64","data":[12.5]}]}'
    answered = [0]

    def concluded(exchange: Exchange) -> None:
        answered[0] += exchange.status == 200  # noqa: PLR2004 - or the figure is void

    client = Client(loop, application, scope, VirtualCpu(loop, 1), (0, SERVICE_NS), concluded)
    n = REQUESTS[app]

    def arrive(i: int) -> None:
        planned = Planned(i, "main-1", loop.now_ns, body, None, (-1,), 0.0)
        if i + 1 < n:
            loop.post(loop.now_ns + GAP_NS, arrive, i + 1)
        loop.start_now(Exchange(client, planned, loop.now_ns).run())

    began = now()
    loop.post(0, arrive, 0)
    loop.run_until(n * GAP_NS + SERVICE_NS)
    seconds = now() - began
    if answered[0] != n:
        raise SystemExit(f"{app}: only {answered[0]} of {n} were answered")
    return n / seconds


def main() -> None:
    """Print one line per app."""
    apps: tuple[str, ...] = (*WHOLE, *DRIVER)
    if len(sys.argv) > 1 and sys.argv[1] in apps:  # a child
        print((whole_run if sys.argv[1] in WHOLE else driver_alone)(sys.argv[1]))
        return
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")} | {"OMP_NUM_THREADS": "1"}
    measured: dict[str, list[float]] = {app: [] for app in apps}
    for _ in range(rounds):
        for app in apps:
            command = [sys.executable, "-m", "benchmarks.virtual_throughput", app]
            done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"{app}: {done.stderr}")
            measured[app].append(float(done.stdout))
    for app in apps:
        peers: Any = measured["plain"]
        show(f"virtual_throughput.{app}", measured[app], peers, peer_name="plain", unit="requests/s")


if __name__ == "__main__":
    main()

"""Requests per second of wall time in virtual time: one process, one core.

    python -m benchmarks.virtual_throughput [rounds]

`reference_service` is a whole run as `seatrial run` does it: plan, encoding, event loop, virtual CPU, the service
with all safeguards and monitors, decoding, labels, history on disk and its digest. `plain`, `starlette` and `fastapi`
are the driver alone around a small app: arrivals, a task per request, the virtual CPU, a reply; `plain_recorded` is
the plain app in a whole run. Not timed are imports; the start of the service is.

`null` is the driver around an app that answers nothing, and `machine` the least that any such driver can be: a heap of
times and a task for each, which ends at once. What a request costs beyond those two is ours; a machine on which
`machine` is half as fast shows half of everything else. `loop` is a bare Python loop, in additions a second.

Each measurement has a process of its own; rounds go through all in turn, so that ratios compare neighbours in time. The
peer is `plain` of the same round. `python -m benchmarks.virtual_throughput NAME` prints one measurement of one of them.

Each figure comes twice: per second of real time, and as `NAME.core` per second of processor time, which is the same
where a core is free, and still tells something where others take half of it. From the latter follow the `step`s: where
each microsecond of a request goes.
"""

from __future__ import annotations

import asyncio
import heapq
import importlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import shipped
from benchmarks.figures import show

WHOLE = ("reference_service", "plain_recorded")
DRIVER = ("plain", "starlette", "fastapi", "null")
MACHINE = ("machine", "loop")
# What a request costs with and without a part: the difference is the part's.
STEPS = {
    "machine": ("machine", ""),
    "driver": ("null", "machine"),
    "small_app": ("plain", "null"),
    "plan_and_record": ("plain_recorded", "plain"),
    "service": ("reference_service", "plain_recorded"),
}
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
REQUESTS = {"plain": 200_000, "starlette": 60_000, "fastapi": 20_000, "null": 200_000, "machine": 300_000}
ADDITIONS = 10_000_000
SERVICE_NS = 5_000_000
GAP_NS = 10_000_000


def now() -> np.ndarray:
    """Seconds of real time and of processor time, whatever clock the process believes in."""
    return np.array([time.clock_gettime(c) for c in (time.CLOCK_MONOTONIC, time.CLOCK_PROCESS_CPUTIME_ID)])


def whole_run(app: str) -> np.ndarray:
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
        # As the fork server does for the runs of `seatrial run`: imports are not for the run's collector to look at.
        importlib.import_module(str(target.start.asgi).partition(":")[0])
        importlib.import_module("simulator.drivers.frozen")
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


def driver_alone(app: str) -> np.ndarray:
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
    application = found if app in {"plain", "null"} else found()
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


def machine(name: str) -> np.ndarray:
    """Additions of a bare loop, or tasks of a bare event loop, a second: nothing of ours runs."""
    if name == "loop":
        began, total = now(), 0
        for i in range(ADDITIONS):
            total += i
        return ADDITIONS / (now() - began)
    timers: list[tuple[int, int]] = []
    n = REQUESTS[name]

    async def nothing() -> None:
        pass

    class Bare(asyncio.base_events.BaseEventLoop):
        _ready: Any  # BaseEventLoop's own

        def _run_once(self) -> None:
            _, i = heapq.heappop(timers)
            if i + 1 == n:
                self.stop()
            heapq.heappush(timers, (i + 1, i + 1))
            asyncio.Task(nothing(), loop=self, name="request")
            self._ready.popleft()._run()  # noqa: SLF001 - what asyncio's own loop does

    loop = Bare()
    timers.append((0, 0))
    began = now()
    loop.run_forever()
    return n / (now() - began)


def measure(name: str) -> np.ndarray:
    """How many a second of real time, and of processor time, in one run."""
    if name in MACHINE:
        return machine(name)
    return whole_run(name) if name in WHOLE else driver_alone(name)


def main() -> None:
    """Print one line per app."""
    apps: tuple[str, ...] = (*WHOLE, *DRIVER, *MACHINE)
    if len(sys.argv) > 1 and sys.argv[1] in apps:
        print(*measure(sys.argv[1]).tolist())
        return
    shipped.bundles("payments")
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")} | {"OMP_NUM_THREADS": "1"}
    measured: dict[str, list[list[float]]] = {app: [] for app in apps}
    for _ in range(rounds):
        for app in apps:
            command = [sys.executable, "-m", "benchmarks.virtual_throughput", app]
            done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"{app}: {done.stderr}")
            measured[app].append([float(figure) for figure in done.stdout.split()])
    for clock, suffix in enumerate(("", ".core")):
        for app in apps:
            unit = "additions/s" if app == "loop" else "requests/s"
            ours, peers = ([each[clock] for each in measured[name]] for name in (app, "plain"))
            show(f"virtual_throughput.{app}{suffix}", ours, peers, peer_name="plain", unit=unit)
    spent = {app: [1e6 / each[1] for each in measured[app]] for app in apps} | {"": [0.0] * rounds}
    for step, (whole, less) in STEPS.items():
        ours = [a - b for a, b in zip(spent[whole], spent[less], strict=True)]
        show(f"virtual_throughput.step.{step}", ours, spent["machine"], peer_name="machine", unit="us")


if __name__ == "__main__":
    main()

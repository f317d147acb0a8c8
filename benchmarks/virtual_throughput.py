"""Requests per second of wall time in virtual time: one process, one core, history on.

    python -m benchmarks.virtual_throughput [rounds]

Timed is the whole run: plan, encoding, event loop, virtual CPU, service, decoding, history on disk. Not timed are
imports, the start of the service and a first short run that warms it up. Rounds go through all apps in turn, so that the ratios
compare runs that are neighbours in time. The peer of every figure is the plain app of the same round.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.figures import show

APPS = ("reference_service", "plain", "starlette", "fastapi")
SCENARIO = """
seatrial: 1
title: a clean stretch
seed: 7
given:
  population: payments
  traffic: {{rate: 100/s, for: {length}}}
  labels: {{delay: {{median: 2m, p95: 6m}}}}
"""
ROOT = Path(__file__).resolve().parent.parent


def once(app: str, length: str) -> float:
    """Requests per second of one run, in this process."""
    from simulator.drivers.spec import RunSpec
    from simulator.drivers.virtual.run import prepare
    from simulator.scenario.load import load
    from simulator.targets.load import load as load_target
    from simulator.targets.model import Target

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clean.scenario.yaml"
        path.write_text(SCENARIO.format(length=length))
        cell = load(path)[0]
        if app == "reference_service":
            target_path = ROOT / "scenarios/targets/payments.target.yaml"
            target = load_target(target_path)
        else:
            target_path = path
            target = Target.model_validate(
                {
                    "target": 1,
                    "start": {"asgi": f"benchmarks.apps:{app}", "clock": "none"},
                    "protocol": "oip-v2",
                    "service_time": {"per_request": "5ms", "cores": 1},
                }
            )
        spec = RunSpec(
            cell.scenario, str(path), {}, "main", target, target_path, "", Path(folder) / "run", lambda *_: (True, "")
        )
        run = prepare(spec)
        began = time.clock_gettime(time.CLOCK_MONOTONIC)
        history = run()
        seconds = time.clock_gettime(time.CLOCK_MONOTONIC) - began
    answered = int((history.items["status"] == 200).sum())  # noqa: PLR2004 - all of them, or the figure is void
    if answered != len(history):
        raise SystemExit(f"{app}: only {answered} of {len(history)} were answered; notes: {history.notes}")
    return answered / seconds


def main() -> None:
    """Print one line per app."""
    if len(sys.argv) > 2:  # noqa: PLR2004 - app and length: a child
        print(once(sys.argv[1], sys.argv[2]))
        return
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")} | {"OMP_NUM_THREADS": "1"}
    measured: dict[str, list[float]] = {app: [] for app in APPS}
    for _ in range(rounds):
        for app in APPS:
            command = [sys.executable, "-m", "benchmarks.virtual_throughput", app, "10m"]
            done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"{app}: {done.stderr}")
            measured[app].append(float(done.stdout))
    for app in APPS:
        show(
            f"virtual_throughput.{app}", measured[app], measured["plain"], peer_name="plain msgspec app",
            unit="requests/s",
        )  # fmt: skip


if __name__ == "__main__":
    main()

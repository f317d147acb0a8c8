"""A month in virtual time: a million requests, labels late by days, people who react to decisions.

    python -m benchmarks.month [days]

Two runs, each in a process of its own, on one core. Printed is one line: seconds of processor time of each (from the
start of the service to the sealed history), whether their digests are equal, what the world did, and the memory in
use when a fifth and when all of the month was over: a driver that streams keeps it flat.

Not reached yet: 100 s for 30 days. One day (38,473 requests) took 12.6 s of processor time on a shared machine,
and memory grew from 301 to 352 MiB between its first fifth and its end; a whole month has not been run. Most of it is
not the requests: the service ticks every 10 s whether or not anything came, and sends three heartbeats a minute.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.figures import mebibytes

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "scenarios/targets/payments.target.yaml"
DAYS = 30
SCENARIO = """
seatrial: 1
title: A month
seed: 20130701
given:
  population: payments
  traffic: {{rate: 0.45/s, for: {days}d, rhythm: daily}}
  labels: {{delay: {{median: 2d, p95: 9d}}, missing: 2%, every: 1h}}
  feedback: {{on: [block, review], leave: 20%, away: 14d, again: 30%, after: 10m}}
  warmup: 1d
when:
  - {{event: season, at: 2d, drift: {{field: basket_size, shift: 0.1, shape: seasonal, every: 7d}}}}
  - {{event: sloppy, at: 2d, label_noise: {{share: 1%}}}}
"""


def run(days: int) -> dict[str, Any]:
    """One month; what it took and what came of it."""
    from simulator.drivers.spec import RunSpec
    from simulator.drivers.virtual.run import prepare
    from simulator.history.schema import Outcome
    from simulator.scenario.load import load
    from simulator.targets.load import load as load_target

    resident: list[float] = []
    with tempfile.TemporaryDirectory(prefix="seatrial-") as folder:
        path = Path(folder) / "month.scenario.yaml"
        path.write_text(SCENARIO.format(days=days))
        cell = load(path)[0]
        out = Path(folder) / "run"
        spec = RunSpec(
            cell.scenario, str(path), {}, "main", load_target(TARGET), TARGET, "", out, lambda *_: (True, "")
        )
        go = prepare(spec, lambda _: resident.append(mebibytes()))
        began = time.clock_gettime(time.CLOCK_PROCESS_CPUTIME_ID)
        history = go()
        seconds = time.clock_gettime(time.CLOCK_PROCESS_CPUTIME_ID) - began
    feedback = next(note.data for note in history.notes if note.kind == "feedback")
    faults = [note.data["fault"] for note in history.notes if note.kind == "harness"]
    if faults:
        raise SystemExit(f"the run is void: {faults}")
    outcomes = Counter(history.items["outcome"].tolist())
    return {
        "digest": history.header.digest,
        "seconds": round(seconds, 1),
        "requests": len(history),
        "outcomes": {Outcome(code).name.lower(): n for code, n in sorted(outcomes.items())},
        "labels": int((history.items["label_ns"] >= 0).sum()),
        "alerts": len([alert for alert in history.alerts if alert.firing and alert.name.lower() != "watchdog"]),
        "feedback": feedback,
        "mib_at_a_fifth": round(resident[len(resident) // 5]),
        "mib_at_the_end": round(resident[-1]),
        "mib_peak": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def main() -> None:
    """Print the line."""
    if len(sys.argv) > 2:  # noqa: PLR2004 - a child
        print(json.dumps(run(int(sys.argv[1]))))
        return
    days = int(sys.argv[1]) if len(sys.argv) > 1 else DAYS
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "benchmarks.month", str(days), "child"]
    found = []
    for hash_seed in ("0", "1"):  # the order of a set must not matter either
        environment["PYTHONHASHSEED"] = hash_seed
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        found.append(json.loads(done.stdout))
    first, second = found
    line = {
        "name": "month",
        "days": days,
        "seconds": [first["seconds"], second["seconds"]],
        "same_digest": first["digest"] == second["digest"],
        **{key: value for key, value in first.items() if key != "seconds"},
    }
    print(json.dumps(line), flush=True)
    if not line["same_digest"]:
        raise SystemExit("two runs of one month differ")


if __name__ == "__main__":
    main()

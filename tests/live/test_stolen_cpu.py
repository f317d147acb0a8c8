"""A machine that takes the CPU away from a live run: a verdict about the service would be a lie, so there is none."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TARGET = Path(__file__).parent / "targets/plain.target.yaml"
SCENARIO = {
    "seatrial": 1, "title": "Long enough to be judged", "seed": 20140123, "runs_on": ["live"],
    "given": {
        "population": "payments", "traffic": {"rate": "100/s", "for": "32s", "timeout": "1s"}, "warmup": "400ms",
    },
    "then": [{"id": "in_time", "latency": {"p95": "250ms"}}, {"id": "up", "error_rate": {"max": "5%"}}],
}  # fmt: skip


def tried(folder, *, stolen):
    """Exit code, and the findings by id; every two seconds the driver gets no CPU for 1.2 s if that is `stolen`."""
    folder.mkdir(exist_ok=True)
    path = folder / "stolen.scenario.yaml"
    path.write_text(json.dumps(SCENARIO))
    command = [sys.executable, "-m", "simulator.cli", "run", str(path), "--target", str(TARGET), "--driver", "live"]
    with subprocess.Popen(
        [*command, "--out", str(folder / "out"), "--quiet"], start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ) as run:  # fmt: skip
        while run.poll() is None:
            time.sleep(0.8)
            if stolen and run.poll() is None:
                os.killpg(run.pid, signal.SIGSTOP)
                time.sleep(1.2)
                os.killpg(run.pid, signal.SIGCONT)
        said = run.stderr.read().decode()
    assert (folder / "out/verdict.json").exists(), said
    (cell,) = json.loads((folder / "out/verdict.json").read_text())["cells"]
    return run.returncode, {judged["id"]: judged["finding"] for judged in cell["judged"]}


@pytest.mark.slow
def test_a_run_whose_cpu_is_its_own_is_judged(tmp_path):
    """The control: else nothing could ever be decided live, and what is stolen would not be the reason."""
    for k in range(3):  # a busy machine may steal by itself
        code, found = tried(tmp_path / str(k), stolen=False)
        if not any("behind its schedule" in finding["why"] for finding in found.values()):
            break
    assert {name: finding["status"] for name, finding in found.items()} == {"in_time": "pass", "up": "pass"}, found
    assert code == 0


@pytest.mark.slow
def test_a_run_whose_cpu_is_stolen_decides_nothing_and_says_why(tmp_path):
    code, found = tried(tmp_path, stolen=True)
    assert code == 3
    assert {name: finding["status"] for name, finding in found.items()} == {"in_time": "unknown", "up": "unknown"}
    assert all("behind its schedule" in finding["why"] for finding in found.values())

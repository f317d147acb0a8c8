"""Ctrl-C, and again while runs heal: every one of them heals, and whoever is impatient is told why it takes so long."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
RUNS = """
import sys, types
from pathlib import Path
from simulator.drivers.pool import carry_out
runs = [types.SimpleNamespace(folder=Path(sys.argv[1]), role=role, driver="live") for role in ("main", "twin")]
carry_out(runs, workers=2, preload=["slow_to_heal"], listen=lambda spec, kind, _: print(spec.role, kind, flush=True))
"""


def there(path):
    until = time.monotonic() + 30
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.01)
    return path.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="it has no process groups to signal")
@pytest.mark.slow  # two fork servers import all that runs need; tests/live/test_process_faults.py is in the default run
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_every_run_heals_however_often_they_are_interrupted(tmp_path, number):
    runs = subprocess.Popen(
        [sys.executable, "-c", f"import signal; signal.signal(signal.SIGTERM, signal.default_int_handler); {RUNS}"
         if number == signal.SIGTERM else RUNS, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(HERE)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True, cwd=HERE.parents[1],
    )  # fmt: skip
    try:
        begun = [runs.stdout.readline() for _ in range(4)]
        assert sorted(begun) == ["main progress\n", "main started\n", "twin progress\n", "twin started\n"]
        for _ in range(3):  # to the whole group, as a terminal and a service manager do
            os.killpg(runs.pid, number)
            assert there(tmp_path / "main heals")
            time.sleep(0.05)
        said, _ = runs.communicate(timeout=30)
    finally:
        runs.kill()
    assert {path.name for path in tmp_path.iterdir()} >= {"main is whole", "twin is whole"}
    assert said.count("interrupted") >= 4  # each run, at the first and again

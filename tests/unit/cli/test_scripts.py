"""A trial that a script of somebody's asks for: the script runs once, however many runs the trial has."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

TARGET = Path(__file__).parents[3] / "scenarios/targets/payments.target.yaml"
SCENARIO = {
    "seatrial": 1, "title": "short", "seed": 1, "target": str(TARGET),
    "given": {"population": "payments", "traffic": {"rate": "10/s", "for": "1m"}, "warmup": "1s"}, "when": [],
    "then": [{"id": "up", "error_rate": {"max": "1%"}}],
}  # fmt: skip
SCRIPT = """
import sys
from pathlib import Path
from simulator.scenario.load import load
from simulator.trial import certify

print("the script runs", flush=True)
verdict = certify(load(Path("short.scenario.yaml")), out=Path("out"), target=Path(sys.argv[1]))
print("exit code", verdict.exit_code)
"""


def test_a_script_without_a_guard_runs_once(tmp_path):
    (tmp_path / "short.scenario.yaml").write_text(json.dumps(SCENARIO), encoding="utf-8")
    (tmp_path / "mine.py").write_text(SCRIPT, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "mine.py", str(TARGET)], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.splitlines() == ["the script runs", "exit code 0"], done.stderr

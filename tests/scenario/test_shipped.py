"""Each safeguard has a shipped scenario that guards it: with the safeguard off, the command must refuse."""

import subprocess
import sys
from pathlib import Path

import pytest

from simulator.report.json_ import from_json
from simulator.scenario.load import discover, load
from simulator.verdict import Status

ROOT = Path(__file__).parents[2]
GUARDED = {
    "validation": ("renamed_field", {"handled"}),
    "alerts": ("renamed_field", {"paged", "cleared"}),
    "fallback": ("feature_store_outage", {"covers", "up"}),
    "rollback": ("slow_release", {"rolled_back", "blast"}),
}


@pytest.mark.parametrize("safeguard", GUARDED)
def test_without_its_safeguard_a_scenario_is_refused(safeguard, tmp_path):
    name, red = GUARDED[safeguard]
    arguments = ["run", f"scenarios/{name}.scenario.yaml", "--without", safeguard, "--out", str(tmp_path), "--quiet"]
    command = [sys.executable, "-m", "simulator.cli", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    (cell,) = from_json((tmp_path / "verdict.json").read_bytes()).cells
    assert f"without {safeguard}" in cell.target
    failed = {judged.id for judged in cell.judged if judged.finding.status is Status.FAIL}
    assert red <= failed


def test_what_is_shipped_covers_what_was_promised():
    cells = [cell for path in discover([ROOT / "scenarios"]) for cell in load(path)]
    verbs = {event.verb for cell in cells for event in cell.scenario.when}
    assert verbs >= {
        "nulls", "rename", "drop", "retype", "scale", "drift", "concept", "dependency", "load", "release", "reorder",
    }  # fmt: skip
    assert {cell.scenario.given.population for cell in cells} == {"flights", "payments"}
    assert all(any(e.severity == "gate" for e in cell.scenario.then) for cell in cells)


def test_the_campaign_can_decide():
    """It is run by `make campaign` alone; what is wrong with its files is found here."""
    command = [sys.executable, "-m", "simulator.cli", "check", "scenarios/campaign"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

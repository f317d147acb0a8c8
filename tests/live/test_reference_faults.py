"""The reference service as a process: it refuses a damaged bundle, is frozen and killed, and loses nothing it said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from main_run import carried_out, main_spec

from reference_service.audit.verify import verify
from simulator.checks.premises import receipts
from simulator.history.schema import Outcome
from simulator.scenario.load import load

pytestmark = (
    pytest.mark.slow
)  # kill and pause are in `test_process_faults`, too; the damaged bundle is in no default test of real time

SCENARIOS = Path(__file__).parents[2] / "scenarios"
KEPT = SCENARIOS / "targets/payments_kept.target.yaml"
SCENARIO = {
    "seatrial": 1, "title": "t", "seed": 20131020, "runs_on": ["virtual", "live", "locust"],
    "given": {"population": "payments", "traffic": {"rate": "30/s", "for": "5s", "timeout": "2s"}, "warmup": "1s"},
    "when": [
        {"event": "damaged", "at": "1200ms", "release": {"version": "v2", "by": "swap", "bundle": "damaged"}},
        {"event": "frozen", "at": "2500ms", "for": "500ms", "pause": {}},
        {"event": "killed", "at": "4s", "for": "300ms", "restart": {"how": "kill"}},
    ],
    "then": [{"id": "up", "error_rate": {"max": "90%"}}],
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference")
    path = folder / "faults.scenario.yaml"
    path.write_text(json.dumps(SCENARIO))
    (cell,) = load(path)
    return carried_out(main_spec(cell, KEPT, folder / "main", "live")), cell.scenario, folder / "main"


def test_each_of_them_happened_and_all_is_healed(run):
    history, scenario, _ = run
    receipts(scenario.when, history)
    assert [note.data["healed"] for note in history.notes if note.kind == "heal"] == [True]


def test_a_damaged_bundle_is_refused_and_answers_nobody(run):
    history, _, _ = run
    assert history.event("damaged").detail == "status 422"
    assert set(history.items["version"][history.items["outcome"] == Outcome.OK]) == {"v1"}


def test_what_was_answered_is_in_the_log_that_it_left_behind(run):
    history, _, folder = run
    killed, at = history.event("killed"), history.items["scheduled_ns"]
    while_gone = (at >= killed.start_ns) & (at < killed.end_ns)
    assert (history.items["outcome"][while_gone] == Outcome.RESET).all()
    answered = history.items["outcome"] == Outcome.OK
    assert answered.any()
    log = verify(folder / "state/decisions")
    assert log.seq >= np.sum(answered)

"""A service that somebody else started serves what it serves: only its answers say which version that is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from main_run import carried_out, main_spec

from simulator.checks import Evidence
from simulator.checks.steady import steadiness
from simulator.controls.judge import judge
from simulator.drivers.start import free_port
from simulator.scenario.load import load
from simulator.verdict import Status

SERVER = Path(__file__).with_name("plain_server.py")
SCENARIO = {
    "seatrial": 1, "title": "t", "seed": 4, "runs_on": ["live"], "target": "theirs",
    "given": {"population": "payments", "serving": "v1", "traffic": {"rate": "50/s", "for": "2s"}, "warmup": "1s"},
    "when": [{"event": "cents", "at": "1500ms", "for": "400ms", "scale": {"field": "amount", "by": 100}}],
    "then": [{"id": "up", "error_rate": {"max": "50%"}},
             {"id": "held", "exposure": {"version": "v1", "min": "50%"}}],
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("version", "steady", "told"),
    [("v1", True, {}), ("v7", False, {"up": "v7 answered before", "held": "v7 answered before"}),
     (None, True, {"held": "nobody knows whether it was v1"})],
)  # fmt: skip
def test_a_version_that_does_not_serve_is_not_certified(tmp_path, version, steady, told):
    port = free_port()
    (tmp_path / "targets").mkdir()
    target = {"target": 1, "start": {"url": f"http://127.0.0.1:{port}", "ready": "/"}, "protocol": "json",
              "read": {"score": "$.score", "version": "$.version"}}  # fmt: skip
    (tmp_path / "targets/theirs.target.yaml").write_text(json.dumps(target))
    path = tmp_path / "theirs.scenario.yaml"
    path.write_text(json.dumps(SCENARIO))
    (cell,) = load(path)
    spec = main_spec(cell, tmp_path / "targets/theirs.target.yaml", tmp_path / "main", "live")
    env = {**os.environ, **({"VERSION": version} if version else {})}
    theirs = subprocess.Popen([sys.executable, str(SERVER), str(port)], env=env)
    try:
        run = carried_out(replace(spec, steadiness=steadiness))
    finally:
        theirs.terminate()
        theirs.wait()
    (state,) = [note.data for note in run.notes if note.kind == "steady_state"]
    assert state["holds"] is steady
    verdict = judge(cell, Evidence(main=run), run_id="", target="")
    assert {judged.finding.status for judged in verdict.judged} == {Status.UNKNOWN}  # it is far too short to prove much
    why = {judged.id: judged.finding.why for judged in verdict.judged}
    for name, said in why.items():
        assert told.get(name, "blocks of 1s") in said, why

"""What the service says of a running A/B test, by its labels, is what the world knows of it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import short
import telling

import seatrial
from simulator import trial
from simulator.scenario.load import load

DAY = {
    "seatrial": 1,
    "title": "An arm that has its labels mixed up is the worse one",
    "seed": 20261129,
    "given": {
        "population": "payments",
        "traffic": {"rate": "15/s", "for": "13m"},
        "labels": {"delay": {"median": "20s", "p95": "2m"}},
        "warmup": "30s",
    },
    "when": [
        {
            "event": "trial",
            "at": "40s",
            "release": {"version": "v2", "by": "ab", "share": "50%", "defect": {"fault": "wrong"}},
        }
    ],
    "then": [{"id": "worse", "better": {"version": "v1", "than": "v2", "by": 0.01}, "during": "trial"}],
}


@pytest.mark.slow
def test_a_worse_arm_is_told_as_worse_by_the_service_and_by_the_world(tmp_path):
    path, told = tmp_path / "arms.scenario.yaml", tmp_path / "told.json"
    path.write_text(json.dumps(DAY))
    target = short.target("telling:create_app", tmp_path, "payments_prompt")
    document = json.loads(target.read_text())
    document["labels"].pop("censored_by")
    document["start"]["settings"] |= {"told": str(told), "safeguards": {"rollback": False}}
    target.write_text(json.dumps(document))
    verdict = trial.certify(load(path), out=tmp_path / "out", target=target)
    seatrial.assert_certified(verdict)  # v1 is better: the world's own truth

    said = telling.read(told)["quality"]
    assert said["to"] < 0, said  # v2 is worse: by labels alone
    items = trial.history(tmp_path / "out", verdict.cells[0]).items
    known = (items["event_ns"] >= 40e9) & np.isfinite(items["score"]) & (items["truth"] >= 0)
    loss = (items["score"] - items["truth"]) ** 2
    before, new = (loss[known & (items["version"] == version)].mean() for version in ("v1", "v2"))
    assert said["from"] < before - new < said["to"], (said, before - new)

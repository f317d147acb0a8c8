"""A real foreign server over real sockets: codec, error map and live driver are honest, or this fails."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from main_run import carried_out, main_spec

from simulator.history.schema import Outcome
from simulator.scenario.load import load
from simulator.scenario.quantities import SECOND
from simulator.trial import certify, recheck
from simulator.verdict import Status

HERE = Path(__file__).parent
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("mlflow") is None, reason="mlflow is not installed; `make test` installs it"
)


def test_mlflow_in_eight_seconds(tmp_path):
    """The short form of the trial below: one run, request by request."""
    (cell,) = load(HERE / "foreign.scenario.yaml")
    traffic = cell.scenario.given.traffic.model_copy(update={"length": 8 * SECOND})
    given = cell.scenario.given.model_copy(update={"traffic": traffic, "warmup": SECOND // 2})
    events = tuple(event.model_copy(update={"at": SECOND, "length": 6 * SECOND}) for event in cell.scenario.when)
    scenario = cell.scenario.model_copy(update={"given": given, "when": events})
    run = carried_out(main_spec(cell, HERE / "targets/mlflow.target.yaml", tmp_path, "live", scenario=scenario))
    assert {event.name: event.potent for event in run.events} == {event.name: event.planned for event in run.events}
    touched = run.items["touched"]
    renamed, nulls = ((touched >> np.uint64(run.event(it).index)) & np.uint64(1) == 1 for it in ("renamed", "nulls"))
    assert min(renamed.sum(), (nulls & ~renamed).sum()) > 20
    assert np.all(run.items["outcome"][renamed] == Outcome.REJECT)
    assert np.all(run.items["outcome"][~renamed] == Outcome.OK)
    assert np.isfinite(run.items["score"][nulls & ~renamed]).all()


@pytest.mark.slow
def test_mlflow_refuses_a_renamed_column_and_swallows_a_null(tmp_path):
    cells = load(HERE / "foreign.scenario.yaml")
    verdict = certify(cells, out=tmp_path, driver="live")
    (cell,) = verdict.cells
    assert not cell.harness_fault
    late = [j.finding.why for j in cell.judged if j.finding.why.startswith("driver: behind its schedule")]
    if late:  # CPU stolen in a live run is UNKNOWN by law, and says nothing about the server
        assert verdict.exit_code == 3
        pytest.skip(f"this machine was too busy for a live run: {late[0]}")
    status = {judged.id: judged.finding.status for judged in cell.judged}
    assert status == {
        "refused": Status.PASS,
        "honest": Status.FAIL,  # the score silently changed, and the reply says nothing
        "bystanders": Status.PASS,
        "up": Status.PASS,
    }
    honest = next(judged for judged in cell.judged if judged.id == "honest")
    assert "silent" in honest.finding.witnesses[0]
    assert verdict.exit_code == 1
    given, again = recheck(tmp_path)
    assert given == again

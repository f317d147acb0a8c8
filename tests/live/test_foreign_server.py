"""A real foreign server over real sockets: codec, error map and live driver are honest, or this fails."""

import importlib.util
from pathlib import Path

import pytest

from simulator.scenario.load import load
from simulator.trial import certify, recheck
from simulator.verdict import Status

HERE = Path(__file__).parent


@pytest.mark.skipif(
    importlib.util.find_spec("mlflow") is None, reason="mlflow is not installed; `make test` installs it"
)
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

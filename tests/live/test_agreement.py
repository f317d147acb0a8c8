"""Virtual time, sockets and a fleet of Locust say the same of the reference service.

Scenarios: those in `agreement/` and all shipped ones whose `runs_on` names the three.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from main_run import DRIVERS, carried_out, main_spec

from simulator.history.schema import Outcome
from simulator.scenario.load import discover, load
from simulator.scenario.quantities import SECOND
from simulator.trial import certify
from simulator.verdict import Status

HERE = Path(__file__).parent
SCENARIOS = HERE.parents[1] / "scenarios"
# The same service: in process, and as a command.
TARGETS = dict.fromkeys(DRIVERS, HERE / "targets/reference.target.yaml")
TARGETS["virtual"] = SCENARIOS / "targets/payments.target.yaml"

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("locust") is None, reason="Locust is not installed; `make test` installs it"
)


def on_all_three():
    paths = discover([HERE / "agreement", SCENARIOS])
    return [cell for path in paths for cell in load(path) if set(DRIVERS) <= set(cell.scenario.runs_on)]


def differing(verdicts):
    """What the drivers do not agree on: expectation → driver → status; a busy machine's UNKNOWN is no opinion."""
    said = {}
    for driver, cell in verdicts.items():
        assert not cell.harness_fault, (driver, cell.harness_fault)
        for judged in cell.judged:
            if "behind its schedule" not in judged.finding.why:
                said.setdefault(judged.id, {})[driver] = judged.finding.status
    return {name: by for name, by in said.items() if len(set(by.values())) > 1}, said


@pytest.mark.slow
@pytest.mark.parametrize("cell", on_all_three(), ids=lambda cell: cell.name)
def test_the_three_agree_on_every_verdict(tmp_path, cell):
    verdicts = {
        driver: certify([cell], out=tmp_path / driver, target=TARGETS[driver], driver=driver).cells[0]
        for driver in DRIVERS
    }
    assert len({cell.plan_digest for cell in verdicts.values()}) == 1
    differ, said = differing(verdicts)
    assert not differ, differ
    if any(set(by) != set(DRIVERS) for by in said.values()) or len(said) < len(cell.scenario.then):
        pytest.skip("this machine was too busy for a live run: what was decided agrees")
    if cell.path.parent == HERE / "agreement":
        # Else they might agree in knowing nothing.
        assert {next(iter(by.values())) for by in said.values()} == {Status.PASS, Status.FAIL}


def test_the_three_get_the_same_answers(tmp_path):
    """The short form: four seconds of the same plan, answer by answer."""
    (cell,) = load(HERE / "agreement/renamed_and_null.scenario.yaml")
    traffic = cell.scenario.given.traffic.model_copy(update={"length": 4 * SECOND})
    events = tuple(event.model_copy(update={"at": SECOND, "length": 2 * SECOND}) for event in cell.scenario.when)
    given = cell.scenario.given.model_copy(update={"traffic": traffic, "warmup": SECOND // 2})
    scenario = cell.scenario.model_copy(update={"given": given, "when": events})
    histories = {
        driver: carried_out(main_spec(cell, TARGETS[driver], tmp_path / driver, driver, scenario=scenario))
        for driver in DRIVERS
    }
    rehearsed = histories["virtual"]
    assert {int(Outcome.OK), int(Outcome.REJECT)} <= set(rehearsed.items["outcome"])
    for driver, history in histories.items():
        assert history.header.plan_digest == rehearsed.header.plan_digest
        for column in ("outcome", "status", "score", "source", "decision", "version"):
            ours, theirs = history.items[column], rehearsed.items[column]
            same = np.asarray(ours == theirs) | ((ours != ours) & (theirs != theirs))  # noqa: PLR0124 - what has no score
            assert same.all(), (driver, column, ours[~same][:3], theirs[~same][:3])

"""`logged` over real sockets: the log that a killed process left on its disk, held against what callers were told."""

from pathlib import Path

import pytest
from main_run import carried_out, main_spec

from simulator.checks.evidence import Evidence
from simulator.controls.judge import judge
from simulator.scenario.load import load
from simulator.targets.load import load as load_target
from simulator.verdict import Status

HERE = Path(__file__).parent
TARGET = HERE / "targets/on_record.target.yaml"
SABOTAGED = """
import sys
sys.path.insert(0, {scenarios!r})
import saboteurs
from reference_service.__main__ import main
saboteurs.{saboteur}.sabotage()
main()
"""


def judged_alone(folder, start=("-m", "reference_service")):
    """One live run, and what is judged of it; its twins would take as long again, and `logged` asks for none."""
    (cell,) = load(HERE / "on_record.scenario.yaml")
    target = load_target(TARGET)
    command = [part for part in target.start.command if part not in {"-m", "reference_service"}]
    command[1:1] = start
    target = target.model_copy(update={"start": target.start.model_copy(update={"command": tuple(command)})})
    history = carried_out(main_spec(cell, TARGET, folder / "main", "live", target=target))
    return history, judge(cell, Evidence(history), run_id="here", target="on_record").judged


def decided(finding):
    """Skips where the machine was too busy: such a run decides nothing, but for what the log itself proves."""
    if "behind its schedule" in finding.why:
        pytest.skip(f"this machine was too busy for a live run: {finding.why}")
    return finding


def test_every_answer_is_on_the_disk_of_a_process_that_was_killed(tmp_path):
    history, found = judged_alone(tmp_path)
    assert "connections were refused" in history.event("killed").detail
    for judged in found:
        assert decided(judged.finding).status is Status.PASS, judged.finding
        assert judged.controls
        assert all(control.seen for control in judged.controls), judged.controls


@pytest.mark.slow
@pytest.mark.parametrize(
    ("saboteur", "told"), [("logs_after_replying", "not in the log"), ("the_log_says_block", "the log says")]
)
def test_a_log_that_lies_is_refused(tmp_path, saboteur, told):
    """Saboteur 44, and one that writes another decision down."""
    code = SABOTAGED.format(scenarios=str(HERE.parent / "scenario"), saboteur=saboteur)
    for k in range(3):  # a busy machine may send nothing in the moments before the kill, and then nothing is lost
        on_record, _once = judged_alone(tmp_path / str(k), ("-c", code))[1]
        finding = decided(on_record.finding)
        if finding.status is Status.FAIL:
            break
    assert finding.status is Status.FAIL, finding
    assert told in finding.witnesses[0]

"""What lands in the folder: three renderings of one verdict, with a picture where there is a history."""

from __future__ import annotations

from simulator.history import Altered
from simulator.report.json_ import from_json
from simulator.report.write import write
from simulator.verdict import Verdict


def test_one_history_at_a_time_and_a_lost_one_loses_only_its_picture(tmp_path, verdict, run):
    def main_of(cell):
        if cell.scenario == "spike":
            raise Altered("gone")
        return run

    page = write(verdict, tmp_path / "new" / "folder", main_of)
    assert sorted(path.name for path in page.parent.iterdir()) == ["junit.xml", "report.html", "verdict.json"]
    assert from_json((page.parent / "verdict.json").read_bytes()) == verdict
    shown = page.read_text(encoding="utf-8")
    assert shown.count("<svg") == 2
    assert "The histories of spike were not at hand" in shown


def test_a_cell_that_never_ran_is_not_asked_for_its_history(tmp_path, make_cell):
    cell = make_cell(evidence={}, harness_fault="the run died")

    def main_of(_cell):
        raise AssertionError("there is none")

    page = write(Verdict((cell,)), tmp_path, main_of)
    assert "The harness failed: the run died" in page.read_text(encoding="utf-8")

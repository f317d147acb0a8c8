"""The command's promises: five exit codes, data on stdout, progress on stderr, light to import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from simulator.cli import invoke
from simulator.report.json_ import from_json
from simulator.verdict import JUDGE_VERSION

pytestmark = pytest.mark.usefixtures("engine")


@pytest.mark.parametrize(
    ("titles", "code"),
    [
        (["all green"], 0),
        (["all green", "one red"], 1),
        (["all green", "one grey"], 3),
        (["one grey", "one red"], 1),
        (["a harness fault"], 4),
        (["a harness fault", "one red"], 1),
        (["a crash"], 4),
        (["an interrupt"], 4),
    ],
)
def test_exit_codes_of_a_run(place, titles, code):
    for i, title in enumerate(titles):
        place(f"s{i}", title)
    assert invoke(["run", ".", "--out", "out"]) == code


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["run"], ["run", "nowhere"], ["run", "empty"], ["run", "--frobnicate", "."], ["nonsense"],
        ["run", ".", "--without", "luck"], ["run", ".", "--seed", "-1"], ["run", ".", "--set", "factor=3"],
        ["recheck", "nothing"], ["replay", "nothing"], ["report", "nothing"], ["check", "bad.yaml"],
    ],
)  # fmt: skip
def test_bad_input_is_2(place, arguments, capsys):
    place("s", "all green")
    Path("empty").mkdir()
    Path("bad.yaml").write_text("a: 1", encoding="utf-8")
    assert invoke(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err


def test_all_files_report_their_problems_at_once(place, capsys):
    for name in ("a", "b"):
        path = place(name, "all green")
        path.write_text(path.read_text(encoding="utf-8").replace("within", "wihtin"), encoding="utf-8")
    assert invoke(["run", "."]) == 2
    shown = capsys.readouterr().err
    assert "a.scenario.yaml:12:" in shown
    assert "b.scenario.yaml:12:" in shown
    assert "did you mean `within`?" in shown
    assert not Path("reports").exists()


def test_stdout_is_data_and_stderr_is_progress(place, capsys):
    place("s", "one red")
    invoke(["run", ".", "--json", "--out", "out"])
    captured = capsys.readouterr()
    assert from_json(captured.out.encode()).exit_code == 1
    assert "s[factor=100] main: ran in 0.2s" in captured.err
    assert "REFUSED s[factor=100] (2/2)" in captured.err
    assert "\r" not in captured.err
    invoke(["run", ".", "--quiet", "--out", "out"])
    captured = capsys.readouterr()
    assert captured.out.startswith("REFUSED  2 cells · 2 FAIL\n")
    assert "ran in" not in captured.err


def test_reports_are_written_to_reports_latest(place):
    place("s", "one red")
    invoke(["run", "s.scenario.yaml"])
    assert sorted(p.name for p in Path("reports/latest").iterdir()) == ["junit.xml", "report.html", "verdict.json"]
    assert "REFUSED" in Path("reports/latest/report.html").read_text(encoding="utf-8")


def test_options_reach_the_engine(place, capsys):
    place("s", "all green")
    invoke(["run", ".", "--seed", "9", "--without", "alerts", "--workers", "2", "--driver", "live", "--json"])
    cell = json.loads(capsys.readouterr().out)["cells"][0]
    assert (cell["seed"], cell["target"]) == (9, "without alerts, 2, live")
    invoke(["run", ".", "--target", "mine.target.yaml", "--set", "factor=100", "--json"])
    (cell,) = json.loads(capsys.readouterr().out)["cells"]
    assert (cell["target"], cell["cell"]) == ("mine.target.yaml", {"factor": 100})


def test_a_crash_is_one_line_and_debug_shows_where(place, capsys):
    place("s", "a crash")
    assert invoke(["run", "."]) == 4
    shown = capsys.readouterr().err
    assert "harness fault: RuntimeError: the loop (--debug shows where)" in shown
    assert "Traceback" not in shown
    for arguments in (["--debug", "run", "."], ["run", ".", "--debug"]):
        assert invoke(arguments) == 4
        assert "Traceback" in capsys.readouterr().err


def test_recheck_agrees_with_the_verdict_and_its_code(place, capsys):
    place("s", "one red")
    invoke(["run", "."])
    capsys.readouterr()
    assert invoke(["recheck", "reports/latest"]) == 1
    assert "recheck: the same verdict" in capsys.readouterr().err
    assert invoke(["recheck", "s100"]) == 1


def test_recheck_refuses_altered_evidence_and_a_judge_that_changed_its_mind(place, capsys):
    place("s", "one red")
    invoke(["run", "."])
    Path("reports/latest/moody").touch()
    assert invoke(["recheck", "reports/latest"]) == 4
    assert "paged was fail" in capsys.readouterr().err
    Path("reports/latest/newer").touch()
    assert invoke(["recheck", "reports/latest"]) == 0
    assert f"judged by version {JUDGE_VERSION} then, newer now" in capsys.readouterr().err
    Path("reports/latest/altered").touch()
    assert invoke(["recheck", "reports/latest"]) == 2
    assert "altered after the run" in capsys.readouterr().err


def test_replay_runs_one_cell_again_and_says_whether_the_same_happened(place, capsys):
    place("s", "one red")
    invoke(["run", "."])
    capsys.readouterr()
    assert invoke(["replay", "s100", "--json"]) == 1
    captured = capsys.readouterr()
    assert [cell["run_id"] for cell in json.loads(captured.out)["cells"]] == ["s100"]
    assert "replay: the same plan and the same history" in captured.err
    assert Path("reports/replay/report.html").exists()
    Path("reports/latest/moody").touch()
    invoke(["replay", "s100"])
    assert "replay: the same plan, another history: main" in capsys.readouterr().err


def test_an_id_that_fits_two_runs_names_both(place, capsys):
    place("s", "one red")
    invoke(["run", "."])
    assert invoke(["replay", "s"]) == 2
    assert "s fits s0.01, s100" in capsys.readouterr().err


def test_report_renders_an_earlier_run_again(place):
    place("s", "one red")
    invoke(["run", "."])
    page = Path("reports/latest/report.html")
    before = page.read_bytes()
    page.unlink()
    assert invoke(["report", "reports/latest"]) == 1
    assert page.read_bytes() == before


def test_explain_and_schema_print_data(place, capsys):
    place("s", "all green")
    assert invoke(["explain", "s.scenario.yaml"]) == 0
    assert "an alert on amount fires" in capsys.readouterr().out
    assert invoke(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["$schema"].startswith("http://json-schema.org/draft-07")


def test_check_wants_a_target_file_too(place, capsys):
    place("s", "all green")
    assert invoke(["check", "."]) == 2
    assert "no-target" in capsys.readouterr().err


def test_github_gets_annotations_and_a_summary(place, monkeypatch, capsys):
    place("s", "one red")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    invoke(["run", ".", "--json"])
    captured = capsys.readouterr()
    assert "::error file=s.scenario.yaml,line=12," in captured.err
    json.loads(captured.out)
    assert Path("summary.md").read_text(encoding="utf-8").startswith("## REFUSED")


def test_help_and_version_are_0_and_name_the_exit_codes(capsys):
    assert invoke(["--help"]) == 0
    assert "4 harness fault" in capsys.readouterr().out
    assert invoke(["--version"]) == 0


def test_importing_the_command_loads_nothing_heavy():
    heavy = "{'numpy', 'pandas', 'pyarrow', 'pydantic', 'scipy', 'ruamel', 'jinja2', 'msgspec', 'httpx', 'asyncio'}"
    code = f"import sys, simulator.cli, simulator.pytest_plugin; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

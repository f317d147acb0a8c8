"""The plugin in projects of its own: collection, outcomes, and the same page with and without xdist."""

from __future__ import annotations

import textwrap
from pathlib import Path
from xml.etree.ElementTree import parse

import pytest

# Before pytester remembers sys.modules: what it would drop after an in-process run, numpy cannot load again.
import seatrial  # noqa: F401
import simulator.report.write  # noqa: F401

pytest_plugins = "pytester"

STAND_IN = Path(__file__).with_name("conftest.py")
BY_NAME = {"s": "all green", "t": "one red", "u": "one grey"}


@pytest.fixture
def project(pytester):
    """A project that knows the stand-in engine instead of the real one, in every process."""
    source = STAND_IN.read_text(encoding="utf-8")
    template = source.partition('SCENARIO = """\\\n')[2].partition('"""')[0]
    pytester.makeconftest(
        f"""
        import importlib.util, sys
        spec = importlib.util.spec_from_file_location("simulator.trial", {str(STAND_IN)!r})
        sys.modules["simulator.trial"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        """
    )
    # Hypothesis' plugin would be loaded anew, slowly, by every inner session.
    options = "--strict-markers --strict-config -p no:hypothesispytest"
    pytester.makeini(f"[pytest]\naddopts = {options}\nfilterwarnings = error")

    def write(**titles: str):
        for name, title in titles.items():
            path = pytester.path / "scenarios" / f"{name}.scenario.yaml"
            path.parent.mkdir(exist_ok=True)
            path.write_text(template.format(title=title), encoding="utf-8")
        return pytester

    return write


def test_an_item_per_cell_with_its_place(project):
    done = project(s="all green").runpytest_inprocess("--collect-only", "-q")
    done.stdout.fnmatch_lines(
        ["scenarios/s.scenario.yaml::s[[]factor=0.01[]]", "scenarios/s.scenario.yaml::s[[]factor=100[]]"]
    )
    done = project(s="one red").runpytest_inprocess("-v", "scenarios/s.scenario.yaml::s[factor=100]")
    done.assert_outcomes(failed=1)
    assert done.reprec.getfailures()[0].location == ("scenarios/s.scenario.yaml", 7, "s[factor=100]")


def test_only_scenario_files_are_collected(project):
    made = project(s="all green")
    (made.path / "scenarios" / "other.yaml").write_text("a: 1", encoding="utf-8")
    made.makepyfile(test_own="def test_own(): pass")
    made.runpytest_inprocess().assert_outcomes(passed=3)
    made.makeini("[pytest]\naddopts = -p no:hypothesispytest\ntestpaths = test_own.py")
    made.runpytest_inprocess().assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("title", "label"),
    [
        ("one red", "FAIL (`seatrial run` would exit with 1)"),
        ("one grey", "UNKNOWN: neither met nor broken, so nothing is certified (`seatrial run` would exit with 3)"),
        ("a harness fault", "HARNESS FAULT: this is not about the service (`seatrial run` would exit with 4)"),
    ],
)
def test_all_but_pass_fails_and_says_why(project, title, label):
    done = project(s=title).runpytest_inprocess("-k", "100")
    done.assert_outcomes(failed=1, deselected=1)
    shown = done.stdout.str()
    assert label in shown
    assert "reproduce: seatrial replay s100" in shown
    assert "Traceback" not in shown
    if title != "a harness fault":
        assert f"why: because it is {title.split()[-1]}" in shown
        assert "scenarios/s.scenario.yaml:12" in shown


def test_a_crash_of_the_harness_keeps_its_traceback(project):
    done = project(s="a crash").runpytest_inprocess("-k", "100")
    done.assert_outcomes(failed=1, deselected=1)
    done.stdout.fnmatch_lines(["*RuntimeError*"])


def test_a_mistake_is_a_collection_error_at_its_place(project):
    made = project(s="all green")
    path = made.path / "scenarios" / "s.scenario.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("within", "wihtin"), encoding="utf-8")
    done = made.runpytest_inprocess()
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*--> *s.scenario.yaml:12:*", "*did you mean `within`?"])


def test_tags_are_markers_even_where_markers_are_strict(project):
    made = project(s="all green")
    made.runpytest_inprocess("-m", "gate").assert_outcomes(passed=2)
    made.runpytest_inprocess("-m", "not gate").assert_outcomes(deselected=2)


def test_header_and_options(project):
    done = project(s="all green").runpytest_inprocess(
        "--seatrial-seed=9", "--seatrial-target=x.yaml", "--junitxml=j.xml"
    )
    done.stdout.fnmatch_lines(["seatrial: seed 9, target x.yaml"])
    case = parse(done.reprec and "j.xml").find(".//testcase")  # noqa: S314 - our own output
    properties = {p.get("name"): p.get("value") for p in case.iter("property")}
    assert properties == {
        "seatrial.run_id": "s0.01", "seatrial.seed": "9", "seatrial.plan_digest": "p1", "seatrial.evidence.main": "d1",
    }  # fmt: skip


def test_every_item_writes_to_its_own_folder(project):
    made = project(s="all green", t="all green")
    made.runpytest_inprocess("--seatrial-out=out").assert_outcomes(passed=4)
    written = sorted(str(p.parent.relative_to(made.path)) for p in made.path.rglob("verdict.json"))
    assert written == [f"out/scenarios/{n}[factor={f}]" for n in "st" for f in ("0.01", "100")]


def test_workers_change_nothing_in_the_page(project):
    made = project(**BY_NAME)
    alone = made.runpytest_inprocess("--seatrial-out=alone")
    alone.assert_outcomes(passed=2, failed=4)
    alone.stdout.fnmatch_lines(["REFUSED  6 cells · 2 pass · 2 FAIL · 2 UNKNOWN", "report: *report.html"])
    together = made.runpytest_subprocess("-n2", "--seatrial-out=together")
    together.assert_outcomes(passed=2, failed=4)
    together.stdout.fnmatch_lines(["REFUSED  6 cells · 2 pass · 2 FAIL · 2 UNKNOWN"])
    pages = [(made.path / out / "report.html").read_bytes() for out in ("alone", "together")]
    assert pages[0] == pages[1]
    assert len(list(made.path.rglob("report.html"))) == 2


def test_a_run_without_scenarios_says_nothing_of_them(pytester):
    pytester.makepyfile("def test_own(): pass")
    done = pytester.runpytest_inprocess("-p", "no:hypothesispytest")
    done.stdout.no_fnmatch_line("report: *")
    assert not (pytester.path / "reports").exists()


def test_the_python_api_runs_files_cells_and_mappings(project):
    made = project(s="all green", t="one red")
    made.makepyfile(
        textwrap.dedent(
            """
            import pytest, seatrial

            def test_file():
                verdict = seatrial.run("scenarios/s.scenario.yaml", out="kept")
                assert verdict.status is seatrial.Status.PASS
                assert (len(verdict.cells), verdict.cells[0].seed) == (2, 7)
                seatrial.assert_certified(verdict)

            def test_cell():
                cell = seatrial.load("scenarios/t.scenario.yaml")[0]
                verdict = seatrial.run(cell, seed=3, target="x", without="alerts")
                assert (len(verdict.cells), verdict.cells[0].seed, verdict.cells[0].target) == (1, 3, "x")
                with pytest.raises(AssertionError, match="because it is red"):
                    seatrial.assert_certified(verdict)

            MAPPING = {
                "seatrial": 1, "title": "all green", "seed": 1, "matrix": {"factor": [2]},
                "given": {"population": "payments", "traffic": {"rate": "10/s", "for": "1h"}},
                "when": [{"event": "e", "at": "10m", "scale": {"field": "amount", "by": "$factor"}}],
                "then": [{"id": "up", "error_rate": {"max": "1%"}}],
            }

            def test_mapping():
                assert seatrial.run(MAPPING).exit_code == 0
                assert "at most 1% of requests fail" in seatrial.explain(MAPPING)

            def test_a_mistake_in_a_mapping_is_located():
                with pytest.raises(seatrial.BadInput, match="did you mean `seed`"):
                    seatrial.run({k if k != "seed" else "sede": v for k, v in MAPPING.items()})
            """
        )
    )
    made.runpytest_inprocess("test_the_python_api_runs_files_cells_and_mappings.py").assert_outcomes(passed=4)

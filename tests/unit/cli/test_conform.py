"""`seatrial conform`: a real process started, asked, signalled and stopped; exit codes; what is bad input."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from simulator.cli import invoke
from simulator.conformance.probes import abandoned

HERE = Path(__file__).parents[1] / "conformance"
sys.path.insert(0, str(HERE))  # the service that conformance's own tests break


@pytest.fixture
def harbour(tmp_path):
    """The target file of the small service, with a defect or without; and its rows."""
    from harbour import ROWS

    def lay(defect):
        command = ["$python", str(HERE / "harbour_server.py"), "$port", defect]
        start = {"command": command, "url": "http://127.0.0.1:$port", "ready": "/ready"}
        document = {"target": 1, "start": start, "protocol": "oip-v2", "model": "tug", "tolerance": 1e-9}
        target, rows = tmp_path / "harbour.target.yaml", tmp_path / "rows.jsonl"
        target.write_text(json.dumps(document), encoding="utf-8")
        rows.write_text("\n".join(json.dumps(row) for row in ROWS), encoding="utf-8")
        return str(target), str(rows)

    return lay


@pytest.mark.parametrize(
    ("defect", "code", "broken"), [("none", 3, False), pytest.param("batch", 1, True, marks=pytest.mark.slow)]
)
def test_a_server_is_started_tried_and_stopped(harbour, tmp_path, capsys, monkeypatch, defect, code, broken):
    # The small service does work for clients who left; on a slow machine that is enough of it to be seen.
    monkeypatch.setattr(abandoned, "PLAIN", 60.0)
    target, rows = harbour(defect)
    page = tmp_path / "findings.md"
    assert invoke(["conform", target, "--rows", rows, "--json", "--markdown", str(page)]) == code
    shown = capsys.readouterr()
    document = json.loads(shown.out)
    found = {f["name"]: f for f in document["findings"]}
    assert (found["isolation.beside_null"]["status"] == "fail") is broken
    assert {n for n, f in found.items() if f["status"] == "fail"} == set() or broken
    assert found["readiness.start"]["status"] == "pass"
    assert found["stop.ends"]["status"] == "pass"
    assert "isolation" in shown.err
    if broken:
        assert "curl" in found["isolation.beside_null"]["repro"]
        assert "### isolation.beside_null" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "arguments",
    [[], ["--rows", "nowhere.jsonl"], ["--population", "nobody"], ["--rows", "bad.jsonl"],
     ["--population", "payments", "--rows", "bad.jsonl"]],
)  # fmt: skip
def test_rows_that_are_none_are_bad_input(harbour, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    Path("bad.jsonl").write_text("[1, 2]\n", encoding="utf-8")
    target, _ = harbour("none")
    assert invoke(["conform", target, *arguments]) == 2


def test_a_target_that_is_not_there_is_no_finding(tmp_path, capsys):
    target = tmp_path / "gone.target.yaml"
    start = {"command": [sys.executable, "-c", "raise SystemExit(7)"], "url": "http://127.0.0.1:$port", "ready": "/"}
    target.write_text(json.dumps({"target": 1, "start": start, "protocol": "json"}), encoding="utf-8")
    assert invoke(["conform", str(target), "--population", "payments"]) == 4
    assert "ended with code 7" in capsys.readouterr().err


def test_the_doctor_tells_what_holds_and_what_does_not(harbour, capsys):
    target, rows = harbour("none")
    assert invoke(["doctor", target, "--rows", rows]) == 0
    shown = capsys.readouterr().out
    assert "ok  scores a row" in shown
    assert "no_alert              UNKNOWN: needs alerts, heartbeat" in shown
    path = Path(target)
    path.write_text(path.read_text(encoding="utf-8")[:-1] + ', "quality": "/none"}', encoding="utf-8")
    assert invoke(["doctor", target, "--rows", rows]) == 1
    assert "BAD answers quality       GET /none: 404" in capsys.readouterr().out
    assert invoke(["doctor", target, "--offline"]) == 0


def test_nothing_is_drafted_from_silence(capsys):
    assert invoke(["init", "127.0.0.1:1"]) == 2
    assert invoke(["init", "http://127.0.0.1:1"]) == 4
    assert "no draft" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["conform", "run"])
def test_what_is_told_to_end_stops_what_it_started(harbour, tmp_path, command):
    """SIGTERM, as a pipeline sends it: the server must not stay behind."""
    target, rows = harbour("none")
    document = json.loads(Path(target).read_text(encoding="utf-8"))
    mark = tmp_path / "pid"
    wrapped = f"import os, runpy, sys; open({str(mark)!r}, 'w').write(str(os.getpid())); "
    wrapped += f"sys.argv = ['x', sys.argv[1], 'none']; sys.path.insert(0, {str(HERE)!r}); "
    wrapped += f"runpy.run_path({str(HERE / 'harbour_server.py')!r}, run_name='__main__')"
    document["start"]["command"] = ["$python", "-c", wrapped, "$port"]
    Path(target).write_text(json.dumps(document), encoding="utf-8")
    scenario = tmp_path / "x.scenario.yaml"
    given = {"population": "payments", "traffic": {"rate": "20/s", "for": "10m"}, "warmup": "10s"}
    asked = {"seatrial": 1, "title": "long", "seed": 1, "runs_on": ["live"], "given": given, "when": []}
    scenario.write_text(json.dumps(asked | {"then": [{"id": "up", "error_rate": {"max": "5%"}}]}), encoding="utf-8")
    more = {"conform": [target, "--rows", rows], "run": [str(scenario), "--driver", "live", "--target", target]}
    with subprocess.Popen(
        [sys.executable, "-m", "simulator.cli", command, *more[command]], cwd=tmp_path,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        deadline = time.monotonic() + 60
        while not (mark.exists() and mark.read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1.0)
        process.terminate()
        assert process.wait(60) == 4
    pid = int(mark.read_text())
    assert not Path(f"/proc/{pid}").exists()

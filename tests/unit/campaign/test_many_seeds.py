"""`seatrial campaign`: the table, what is not run again, and the same result on a cluster as on this machine."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import subprocess
import sys
import time
from dataclasses import replace

import msgspec
import pytest

from simulator.campaign.engine import campaign
from simulator.campaign.job import Mismatch, jobs, judge, judge_apart
from simulator.campaign.places import cluster
from simulator.campaign.render import markdown, text
from simulator.campaign.tally import tally
from simulator.scenario.errors import BadInput
from simulator.scenario.load import load, load_all
from simulator.verdict import Finding, Judged, Status, Verdict

SERVICE = """
import json

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        for _ in range(2):
            message = await receive()
            await send({"type": message["type"] + ".complete"})
        return
    body = json.loads((await receive())["body"])
    reply = json.dumps({"score": body["amount"] / 1e6}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": reply})
"""
TARGET = {"target": 1, "start": {"asgi": "mini:app"}, "protocol": "json", "read": {"score": "$.score"}}
UP = {
    "seatrial": 1, "title": "A moment", "seed": 3, "target": "mini", "runs_on": ["virtual"],
    "given": {"population": "payments", "traffic": {"rate": "20/s", "for": "50s"}, "warmup": "5s"},
    "then": [{"id": "up", "error_rate": {"max": "1%"}}],
}  # fmt: skip
RENAMED = UP | {
    "title": "A field it cannot do without",
    "when": [{"event": "renamed", "at": "10s", "for": "$for", "rename": {"field": "amount", "to": "betrag"}}],
    "matrix": {"for": ["20s"]},
}


def lay(folder):
    """A service that nothing is wrong with until its one field is renamed, and two scenarios."""
    (folder / "mini.py").write_text(SERVICE, encoding="utf-8")
    (folder / "targets").mkdir()
    (folder / "targets/mini.target.yaml").write_text(json.dumps(TARGET), encoding="utf-8")
    for name, document in (("up", UP), ("renamed", RENAMED)):
        (folder / f"{name}.scenario.yaml").write_text(json.dumps(document), encoding="utf-8")
    return folder


@pytest.fixture
def place(tmp_path, monkeypatch):
    """That folder, to work in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return lay(tmp_path)


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """A folder with a campaign on this machine under `near`."""
    folder = lay(tmp_path_factory.mktemp("campaign"))
    done = command(folder, "campaign", ".", "--seeds", "1", "--first", "2", "--out", "near")
    assert done.returncode == 1, done.stderr
    return folder


def command(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "simulator.cli", *arguments],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(folder)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def as_judged(job, status):
    """The verdict of a job, made up: one expectation of that status in each cell."""
    judged = Judged("up", "error_rate", True, Finding(status, "≤ 1%", "2%", "too many"), (), (), 1, "no errors")
    return Verdict(tuple(replace(cell, judged=(judged,)) for cell in job.cells))


def pretending(*statuses, asked):
    """A place that judges nothing; the seeds asked for end in `asked`."""
    words = dict(enumerate(statuses, 1))

    def judged(jobs):
        for job in jobs:
            asked.append(job.seed)
            word = words[job.seed]
            yield job, job.fault("lost") if word is None else as_judged(job, word)

    return judged


def test_the_table_and_the_command_that_repeats_a_refusal(judged):
    document = json.loads((judged / "near/campaign.json").read_text())
    assert [(row["name"], row["certified"], row["refused"]) for row in document["rows"]] == [
        ("renamed[for=20s]", 0, 1),
        ("up", 1, 0),
    ]
    assert document["exit_code"] == 1
    (again,) = document["rows"][0]["repeat"]
    assert again["seed"] == 2
    assert again["command"] in (judged / "near/campaign.html").read_text()
    repeated = command(judged, *shlex.split(again["command"])[1:], "--out", "again", "--json")
    assert repeated.returncode == 1, repeated.stderr
    (cell,) = json.loads(repeated.stdout)["cells"]
    assert document["digests"][cell["run_id"]] == cell["evidence"]["main"]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="needs the group `cluster`")
def test_a_cluster_judges_as_this_machine_does(judged):
    module, said = "distributed.cli.dask_", judged / "scheduler.json"
    started = [
        subprocess.Popen(
            [sys.executable, "-m", module + name, "--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", said,
             *options],
            env=os.environ | {"PYTHONPATH": str(judged)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        for name, options in (("scheduler", ["--port", "0"]), ("worker", ["--nthreads", "1"]))
    ]  # fmt: skip
    try:
        # Written in place: what is read too early is no whole document.
        while not said.exists() or not said.read_text().rstrip().endswith("}"):
            assert started[0].poll() is None
            time.sleep(0.05)
        address = json.loads(said.read_text())["address"]
        done = command(
            judged, "campaign", ".", "--seeds", "1", "--first", "2", "--out", "far", "--cluster", address
        )  # fmt: skip
    finally:
        for process in started:
            process.terminate()
            process.wait()
    assert done.returncode == 1, done.stderr
    for name in ("campaign.json", "campaign.md", "campaign.html"):
        assert (judged / "far" / name).read_bytes() == (judged / "near" / name).read_bytes()
    assert all(json.loads((judged / "far/campaign.json").read_text())["digests"].values())


def test_nobody_at_the_address_is_bad_input(judged):
    pytest.importorskip("distributed")
    done = command(judged, "campaign", "up.scenario.yaml", "--cluster", "nowhere", "--seeds", "1")
    assert done.returncode == 2, done.stderr


def test_what_was_judged_on_the_same_input_is_not_run_again(place):
    cells, asked = load_all([place]), []
    campaign(cells, [1, 2], out=place / "out", place=pretending(Status.PASS, Status.FAIL, asked=asked))
    assert asked == [1, 2, 1, 2]  # two files
    nobody = pretending(asked=asked)
    known = campaign(cells, [1, 2], out=place / "out", place=nobody)
    assert len(asked) == 4
    assert [(row.certified, row.refused) for row in known.rows] == [(1, 1), (1, 1)]
    campaign(cells, [2, 3], out=place / "out", place=pretending(*[Status.PASS] * 3, asked=asked))
    assert asked[4:] == [3, 3]
    (place / "mini.py").write_text(SERVICE.replace("1e6", "1e7"), encoding="utf-8")
    campaign(cells, [1], out=place / "out", place=pretending(Status.PASS, asked=asked))
    assert asked[6:] == [1, 1]


def test_a_verdict_that_was_exchanged_is_judged_again(place):
    cells, asked = load(place / "up.scenario.yaml"), []
    campaign(cells, [1, 2], out=place / "out", place=pretending(Status.PASS, Status.FAIL, asked=asked))
    first, second = sorted((place / "out/judged").iterdir())
    first.write_bytes(second.read_bytes())
    second.write_bytes(b"half a verd")
    campaign(cells, [1, 2], out=place / "out", place=pretending(Status.PASS, Status.FAIL, asked=asked))
    assert asked == [1, 2, 1, 2]


def test_what_nobody_could_judge_is_no_verdict_and_is_tried_again(place):
    cells, asked = load(place / "up.scenario.yaml"), []
    found = campaign(cells, [1, 2], out=place / "out", place=pretending(Status.PASS, None, asked=asked))
    assert found.verdict.exit_code == 4
    assert [(row.certified, row.faults) for row in found.rows] == [(1, 1)]
    assert found.rows[0].at_most == pytest.approx(0.99)  # of one run, not of two
    assert "lost" in text(found)
    campaign(cells, [1, 2], out=place / "out", place=pretending(None, Status.PASS, asked=asked))
    assert asked == [1, 2, 2]


def test_unknown_is_not_a_pass(place):
    cells = load(place / "up.scenario.yaml")
    found = campaign(cells, [1, 2], out=place / "out", place=pretending(Status.PASS, Status.UNKNOWN, asked=[]))
    assert found.verdict.exit_code == 3
    assert "INCONCLUSIVE up, seed 2" in markdown(found)


def test_nothing_that_runs_is_bad_input(place):
    (place / "live.scenario.yaml").write_text(json.dumps(UP | {"runs_on": ["live"]}), encoding="utf-8")
    with pytest.raises(BadInput):
        campaign(load(place / "live.scenario.yaml"), [1], out=place / "out")
    assert tally([]).verdict.exit_code == 3


def test_a_worker_that_has_something_else_before_it_says_so(place):
    (job,) = jobs(load(place / "up.scenario.yaml"), [1], target=None, without=None)
    with pytest.raises(Mismatch, match="another version"):
        judge(msgspec.json.encode(replace(job, key="another")))
    (place / "mini.py").write_text(SERVICE.replace("1e6", "1e7"), encoding="utf-8")
    with pytest.raises(RuntimeError, match="not the same here"):
        judge_apart(msgspec.json.encode(job))


def test_without_dask_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(BadInput, match=r"seatrial\[dask\]"):
        cluster("tcp://127.0.0.1:1")

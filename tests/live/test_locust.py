"""Real Locust processes against a small real server: exactly the plan, the same verdict, honest about themselves."""

import hashlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from main_run import main_spec

from simulator.checks.evidence import Evidence
from simulator.controls.judge import judge
from simulator.drivers import voyage
from simulator.drivers.locust.fleet import run_fleet
from simulator.drivers.locust.launch import FLEET, LOCUSTFILE, PROCESSES, NoFleet
from simulator.drivers.spec import RunSpec
from simulator.drivers.start import free_port
from simulator.drivers.voyage import Voyage
from simulator.history.schema import Outcome
from simulator.scenario.load import load
from simulator.scenario.quantities import SECOND
from simulator.scenario.verbs import Event
from simulator.trial import certify, read_verdict
from simulator.verdict import EXIT_BAD_INPUT, EXIT_HARNESS_FAULT, EXIT_REFUSED, Status

HERE = Path(__file__).parent
SCENARIO = HERE / "fleet.scenario.yaml"
TARGET = HERE / "targets" / "plain.target.yaml"

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("locust") is None, reason="Locust is not installed; `make test` installs it"
)


def spec_in(folder: Path, *, seconds: int, rate: float, more: tuple[Event, ...] = ()) -> RunSpec:
    """The main run of the scenario, cut short; `more` befalls it."""
    (cell,) = load(SCENARIO)
    traffic = cell.scenario.given.traffic.model_copy(update={"length": seconds * SECOND, "rate": rate})
    given = cell.scenario.given.model_copy(update={"traffic": traffic})
    scenario = cell.scenario.model_copy(update={"given": given, "when": (*cell.scenario.when, *more)})
    return main_spec(cell, TARGET, folder, "locust", scenario=scenario)


@pytest.fixture
def sent(tmp_path, monkeypatch):
    """The digests of what the server was sent, in the order of its receipt."""
    record = tmp_path / "record"
    record.touch()
    monkeypatch.setenv("RECORD", str(record))
    monkeypatch.delenv(FLEET, raising=False)
    return lambda: record.read_text(encoding="utf-8").splitlines()


def driver_of(history):
    return next(note.data for note in history.notes if note.kind == "driver")


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_a_fleet_sends_exactly_the_plan_each_request_once(tmp_path, monkeypatch, sent, workers):
    """A bad network included: what it touches goes through the proxy, from every worker."""
    monkeypatch.setenv(PROCESSES, str(workers))
    slow = {"event": "slow_way", "at": "1s", "for": "3s", "network": {"fault": "latency", "by": "200ms", "share": 0.3}}
    short = {"seconds": 4, "rate": 150, "more": (Event.model_validate(slow),)}
    spec = spec_in(tmp_path / "run", **short)
    alone = Voyage(spec_in(tmp_path / "plan", **short), lambda _: None, "live")
    plan = alone.requests
    history = run_fleet(spec)
    digests = [hashlib.sha256(planned.body).hexdigest() for planned in plan]
    assert len(plan) > 500
    assert history.header.plan_digest == alone._close().header.plan_digest
    assert Counter(sent()) == Counter(digests)
    assert not (history.items["outcome"] == int(Outcome.MISSING)).any()
    (fleet,) = (note.data for note in history.notes if note.kind == "fleet")
    assert (fleet["workers"], fleet["lost"], fleet["unreported"]) == (workers, 0, 0)
    event = history.event("slow_way")
    assert event.planned == event.delivered == event.potent > 90, event.detail
    way = history.items["touched"] >> np.uint64(event.index) & np.uint64(1) == 1
    assert {k % workers for k, planned in enumerate(plan) if way[planned.item]} == set(range(workers))


@pytest.mark.slow
def test_a_fleet_that_does_not_reach_the_fault_proxy_says_so(tmp_path, monkeypatch):
    async def elsewhere(_proxies, events, *_):
        return {id(event.network): ("127.0.0.1", free_port()) for event in events}, {}

    monkeypatch.delenv(FLEET, raising=False)
    monkeypatch.setattr(voyage, "lay", elsewhere)
    cut = {"event": "cut", "at": "1s", "network": {"fault": "reset"}}
    with pytest.raises(NoFleet, match="does not reach the fault proxy"):
        run_fleet(spec_in(tmp_path / "run", seconds=4, rate=10, more=(Event.model_validate(cut),)))


# ---------------------------------------------------------------- honesty


def children(parent: int) -> list[int]:
    """Processes that this one started and that run our locustfile."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "stat").read_text().rpartition(")")[2].split()
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue  # it is gone already
            if int(status[1]) == parent and str(LOCUSTFILE).encode() in command:
                found.append(int(entry.name))
    return found


def disturbed(spec, sent, disturb):
    """The run's history; `disturb` is called with the fleet's process once a second of requests was sent."""
    histories = []
    run = threading.Thread(target=lambda: histories.append(run_fleet(spec)))
    run.start()
    try:
        deadline = time.monotonic() + 60
        while len(sent()) < spec.scenario.given.traffic.rate and time.monotonic() < deadline:
            time.sleep(0.02)
        (fleet,) = children(os.getpid())
        disturb(fleet)
    finally:
        run.join()
    return histories[0]


def stalled(fleet: int) -> None:
    os.kill(fleet, signal.SIGSTOP)
    time.sleep(1.5)
    os.kill(fleet, signal.SIGCONT)


def one_killed(fleet: int) -> None:
    os.kill(children(fleet)[0], signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "disturb"), [(1, lambda _: None), (1, stalled), (2, one_killed)])
def test_a_fleet_that_cannot_hold_the_plan_says_so_and_accuses_nobody(tmp_path, monkeypatch, sent, workers, disturb):
    monkeypatch.setenv(PROCESSES, str(workers))
    spec = spec_in(tmp_path / "run", seconds=8, rate=40)
    history = disturbed(spec, sent, disturb)
    (cell,) = load(SCENARIO)
    verdict = judge(cell, Evidence(main=history), run_id="", target="", switchable=frozenset())
    limited = ["behind its schedule" in judged.finding.why for judged in verdict.judged]
    if disturb in {stalled, one_killed}:
        assert driver_of(history)["late_max_ns"] > SECOND
        assert all(limited)
        assert {judged.finding.status for judged in verdict.judged} == {Status.UNKNOWN}
    elif driver_of(history)["late_p99_ns"] < SECOND // 10:  # else this machine was too busy to be judged
        assert not any(limited)


# ---------------------------------------------------------------- Locust's own command


def locust(*arguments: str, processes: int = 1, **more) -> subprocess.Popen:
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--loglevel", "WARNING", *arguments]
    if processes > 1:
        port = str(free_port())
        at = ["--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--master-port", port]
        command += ["--processes", str(processes), *at]
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    environment = {name: value for name, value in os.environ.items() if name != FLEET}
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment, **(quiet | more))


@pytest.mark.slow
def test_master_and_workers_give_the_verdict_of_the_live_driver(tmp_path):
    here = certify(load(SCENARIO), out=tmp_path / "live", driver="live")
    process = locust(
        "--headless", "--only-summary", "--scenario", str(SCENARIO), "--out", str(tmp_path / "fleet"), "--trial-quiet",
        processes=4,
    )  # fmt: skip
    output, _ = process.communicate(timeout=400)
    fleet = read_verdict(tmp_path / "fleet")
    assert "REFUSED" in output
    late = [j.finding.why for v in (here, fleet) for j in v.cells[0].judged if "its schedule" in j.finding.why]
    if late:  # CPU stolen in a live run is UNKNOWN by law, and says nothing about the drivers
        pytest.skip(f"this machine was too busy for a live run: {late[0]}")
    expected = {"refused": Status.PASS, "honest": Status.FAIL, "up": Status.PASS}
    for verdict in (here, fleet):
        (cell,) = verdict.cells
        assert not cell.harness_fault
        assert {judged.id: judged.finding.status for judged in cell.judged} == expected
    assert here.cells[0].plan_digest == fleet.cells[0].plan_digest
    assert process.returncode == fleet.exit_code == here.exit_code == EXIT_REFUSED


@pytest.mark.slow
def test_bad_input_is_bad_input_through_locust_too(tmp_path):
    process = locust("--headless", "--only-summary", "--scenario", str(tmp_path / "none.scenario.yaml"))
    output, _ = process.communicate(timeout=60)
    assert process.returncode == EXIT_BAD_INPUT, output
    assert "none.scenario.yaml" in output
    process = locust("--headless")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == EXIT_BAD_INPUT, output
    assert "give --scenario FILE" in output


def fetched(url: str) -> bytes:
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own, on loopback
                return answer.read()
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@pytest.mark.slow
def test_the_web_interface_is_there_and_nothing_certified_is_not_zero(tmp_path):
    port = free_port()
    arguments = [
        "--scenario",
        str(SCENARIO),
        "--out",
        str(tmp_path),
        "--web-host",
        "127.0.0.1",
        "--web-port",
        str(port),
    ]
    process = locust(*arguments)
    try:
        assert b"<title>Locust" in fetched(f"http://127.0.0.1:{port}/")
        assert json.loads(fetched(f"http://127.0.0.1:{port}/stats/requests"))["state"] == "ready"
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == EXIT_HARNESS_FAULT

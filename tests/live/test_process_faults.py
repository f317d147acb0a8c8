"""Faults of a live service's processes: each is seen to have happened, and lifted, also when the run is interrupted."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from main_run import carried_out, main_spec

from simulator.checks.premises import PremiseError, receipts
from simulator.drivers import hold, process_faults
from simulator.drivers.incidents import Incidents
from simulator.drivers.process import Process
from simulator.drivers.start import Service
from simulator.history.schema import NEVER, Outcome
from simulator.scenario.errors import BadInput
from simulator.scenario.load import load
from simulator.scenario.quantities import SECOND
from simulator.trial.prepare import prepare

SERVER = Path(__file__).with_name("hungry_server.py")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="process faults need Linux and its /proc")


def written(folder, events, server=(), *, length=4.0, start=None):
    """A scenario of these events, and the target that it goes to, as files."""
    (folder / "targets").mkdir()
    command = ["$python", str(SERVER), "$port", *map(str, server)]
    target = {
        "target": 1, "start": start or {"command": command, "url": "http://127.0.0.1:$port"},
        "protocol": "json", "read": {"score": "$.score"},
    }  # fmt: skip
    (folder / "targets/hungry.target.yaml").write_text(json.dumps(target))
    traffic = {"rate": "50/s", "for": f"{length}s", "timeout": "1s"}
    scenario = {
        "seatrial": 1, "title": "t", "seed": 12, "runs_on": ["live", "locust"], "target": "hungry",
        "given": {"population": "payments", "traffic": traffic, "warmup": "400ms"},
        "when": events,
        "then": [{"id": "up", "error_rate": {"max": 0.9}}],
    }  # fmt: skip
    path = folder / "faults.scenario.yaml"
    path.write_text(json.dumps(scenario))
    return path


def faulted(folder, events, server=(), *, length=4.0, driver="live"):
    """The scenario and its main run."""
    (cell,) = load(written(folder, events, server, length=length))
    target = folder / "targets/hungry.target.yaml"
    return cell.scenario, carried_out(main_spec(cell, target, folder / "main", driver))


def of(run, name):
    """bool[n]: scheduled while the event really lasted."""
    record, at = run.event(name), run.items["scheduled_ns"]
    return (at >= record.start_ns) & (at < record.end_ns)


def healed(run):
    (heal,) = [note.data for note in run.notes if note.kind == "heal"]
    return heal["healed"] is True


@pytest.mark.parametrize("driver", ["live", pytest.param("locust", marks=pytest.mark.slow)])
def test_a_service_is_killed_stopped_and_frozen_and_each_time_it_comes_back(tmp_path, driver):
    events = [
        {"event": "killed", "at": "500ms", "for": "400ms", "restart": {"how": "kill"}},
        {"event": "stopped", "at": "2s", "for": "400ms", "restart": {"how": "stop"}},
        {"event": "frozen", "at": "3500ms", "for": "1s", "pause": {}},
    ]
    scenario, run = faulted(tmp_path, events, length=5.5, driver=driver)
    receipts(scenario.when, run)
    outcome, at, replied = (run.items[name] for name in ("outcome", "scheduled_ns", "replied_ns"))
    for name in ("killed", "stopped"):
        met = np.flatnonzero(of(run, name))
        after_the_first = met[np.argsort(at[met], kind="stable")][1:]  # it may be in flight while the process dies
        assert len(after_the_first) > 3
        assert np.all(outcome[after_the_first] == Outcome.RESET), run.event(name)
    frozen = of(run, "frozen")
    assert np.all((outcome[frozen] == Outcome.TIMEOUT) | (replied[frozen] >= 4.5 * SECOND))
    assert np.mean(outcome[at >= 5 * SECOND] == Outcome.OK) == 1
    assert healed(run)


@pytest.mark.parametrize("fault", [{"restart": {"how": "kill"}}, {"pause": {}}], ids=["restart", "pause"])
def test_what_still_answers_was_never_gone(tmp_path, fault):
    """A service that leaves the session of whoever starts it is not killed or frozen with it: nothing was proven."""
    events = [{"event": "killed", "at": "500ms", "for": "500ms", **fault}]
    try:
        scenario, run = faulted(tmp_path, events, (0, 0, tmp_path / "pid"), length=1.5)
    finally:
        for pid in (tmp_path / "pid").read_text().split():  # a second one came with the restart
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
    with pytest.raises(PremiseError, match="impotent"):
        receipts(scenario.when, run)
    assert "still answers" in run.event("killed").detail


@pytest.mark.parametrize("driver", ["live", pytest.param("locust", marks=pytest.mark.slow)])
def test_a_limit_that_was_reached_was_there_and_one_that_was_not_is_no_fault(tmp_path, driver):
    events = [
        {"event": "starved", "at": "500ms", "for": "1200ms", "cpu": {"cores": 0.03}},
        {"event": "ample", "at": "2500ms", "for": "500ms", "cpu": {"cores": 50}},
        {"event": "roomy", "at": "3100ms", "for": "500ms", "memory": {"headroom": "4GiB"}},
        {"event": "cramped", "at": "3800ms", "for": "1200ms", "memory": {"headroom": "20MB"}},
    ]
    scenario, run = faulted(tmp_path, events, (3, 2_000_000), length=5.6, driver=driver)
    starved, ample, roomy, cramped = scenario.when
    receipts([starved, cramped], run)
    for event in (ample, roomy):
        with pytest.raises(PremiseError, match=r"impotent: of \d+ deliveries 0"):
            receipts([event], run)
    at, replied, status = (run.items[name] for name in ("scheduled_ns", "replied_ns", "status"))
    slow = (replied - at > 0.2 * SECOND) | (replied == NEVER)
    assert slow[of(run, "starved")].mean() > 0.5
    assert (status[of(run, "cramped")] != 200).sum() > 3
    assert (status[at >= 5.2 * SECOND] == 200).mean() > 0.9
    assert healed(run)


def test_a_target_that_is_not_ours_is_refused_with_the_place(tmp_path):
    events = [{"event": "frozen", "at": "1s", "for": "1s", "pause": {}}]
    path = written(tmp_path, events, start={"url": "http://127.0.0.1:9"})
    with pytest.raises(BadInput) as caught:
        prepare(load(path), tmp_path / "out", None, None, "live")
    (problem,) = [p for p in caught.value.problems if p.code == "not-ours"]
    assert "was not started by seatrial" in problem.message
    assert "start:" in problem.hint
    text = path.read_text().splitlines()[problem.line - 1]
    assert text[problem.column - 1 :].startswith('"pause"')


def test_whoever_dies_leaves_nobody_frozen():
    """The harness is killed while a service is stopped: what held it lets go by itself."""

    command = [sys.executable, "-c"]
    service = subprocess.Popen([*command, "import time; time.sleep(60)"], start_new_session=True)
    harness = subprocess.Popen([*command, HOLDING, str(service.pid)], stdout=subprocess.PIPE)
    try:
        assert harness.stdout.readline() == b"True\n"
        assert hold.stopped(service.pid) == (1, 1)
        harness.kill()
        until = time.monotonic() + 10
        while hold.stopped(service.pid)[0] and time.monotonic() < until:
            time.sleep(0.01)
        assert hold.stopped(service.pid) == (0, 1)
    finally:
        for one in (harness, service):
            one.kill()
            one.wait()
        harness.stdout.close()


HOLDING = """
import asyncio, sys, time
from simulator.drivers.process_faults import _Hold
async def go():
    held = _Hold()
    print((await held.put_on(int(sys.argv[1]), "pause"))["holds"], flush=True)
    time.sleep(60)
asyncio.run(go())
"""


async def impatient(times):
    for k in range(times):
        os.kill(os.getpid(), (signal.SIGINT, signal.SIGTERM)[k % 2])
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("again", [0, 3])
def test_an_interrupted_run_lifts_what_it_holds_however_often_it_is_interrupted(tmp_path, monkeypatch, again):
    """Ctrl-C in the middle of a pause, and again while it is lifted."""
    seen = []
    whole = process_faults.ProcessFaults.whole

    async def looked(self):
        session = self._service.process.session
        seen.append(hold.stopped(session))
        await impatient(again)
        found = await whole(self)
        seen.append(hold.stopped(session))
        return found

    monkeypatch.setattr(process_faults.ProcessFaults, "whole", looked)
    put_on = process_faults._Hold.put_on

    async def then_interrupted(self, *what):
        said = await put_on(self, *what)
        os.kill(os.getpid(), signal.SIGINT)
        return said

    monkeypatch.setattr(process_faults._Hold, "put_on", then_interrupted)
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(KeyboardInterrupt):
        faulted(tmp_path, [{"event": "frozen", "at": "500ms", "pause": {}}], length=30)
    assert seen == [(1, 1), (0, 1)]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_run_that_is_told_to_end_while_it_heals_heals_to_the_end(tmp_path, monkeypatch):
    heal, healing = Incidents.heal, []

    async def interrupted(self):
        healing.append("begun")
        await impatient(2)
        await heal(self)
        healing.append("done")

    monkeypatch.setattr(Incidents, "heal", interrupted)
    _, run = faulted(tmp_path, [{"event": "frozen", "at": "500ms", "for": "200ms", "pause": {}}], length=1)
    assert healing == ["begun", "done"]
    assert healed(run)


def test_who_had_gone_by_itself_was_not_killed(tmp_path):
    """A crash just before the event is the service's own, and no fault that was put on."""
    command = [sys.executable, "-c", "pass"]
    (killed,) = load(written(tmp_path, [{"event": "killed", "at": "1s", "for": "1s", "restart": {"how": "kill"}}]))
    found = {}

    async def at_once(_):
        pass

    async def befallen():
        process = Process(command, {})
        await process.start()
        await process._leader.wait()
        service = Service("http://127.0.0.1:9", process, None)
        faults = process_faults.ProcessFaults(service, lambda: 7, at_once, found)
        return await faults.befall(killed.scenario.when[0], 7)

    assert "had gone by itself" in asyncio.run(befallen())
    assert (found["killed"].delivered, found["killed"].potent) == (1, 0)


@pytest.mark.parametrize(("allowed", "holds"), [(True, True), (False, False)])
def test_a_limit_of_memory_that_was_not_put_on_does_not_hold(monkeypatch, allowed, holds):
    said, prlimit = [], hold.resource.prlimit

    def refusing(pid, what, limits=None):
        if limits is not None and not allowed:
            raise PermissionError
        return prlimit(pid, what, limits) if limits is not None else prlimit(pid, what)

    monkeypatch.setattr(hold.resource, "prlimit", refusing)
    monkeypatch.setattr(hold, "_say", lambda **what: said.append(what))
    monkeypatch.setattr(hold, "_over", lambda _: True)
    service = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    try:
        hold.memory(service.pid, 1 << 30)
        assert prlimit(service.pid, hold.resource.RLIMIT_AS)[0] == prlimit(os.getpid(), hold.resource.RLIMIT_AS)[0]
    finally:
        service.kill()
        service.wait()
    assert said[0]["holds"] is holds

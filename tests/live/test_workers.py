"""Several workers behind one socket: one dies, all stop, each has a log of its own."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.service import bodies
from reference_service.audit.verify import verify
from simulator.drivers.start import free_port

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.beside
PATH = "/v2/models/payments/infer"


def until(true, seconds=60):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def workers(control):
    """Process ids of the control process' children."""
    return {int(pid) for pid in Path(f"/proc/{control}/task/{control}/children").read_text().split()}


@pytest.fixture
def running(tmp_path):
    """(control process, address, folder of the logs)."""
    bundles = ROOT / "scenarios/bundles/payments"
    settings = tmp_path / "settings.json"
    found = {"bundles": str(bundles), "feature_store": str(bundles / "customers.npz"), "token": "secret"}
    settings.write_text(json.dumps(found | {"decision_log": str(tmp_path / "log")}))
    port = free_port()
    command = [sys.executable, "-m", "reference_service", str(settings), "--port", str(port), "--workers", "2"]
    control = subprocess.Popen(command, cwd=ROOT)
    yield control, f"127.0.0.1:{port}", tmp_path / "log"
    control.kill()
    control.wait()


def post(address, body):
    connection = http.client.HTTPConnection(address)
    connection.request("POST", PATH, body)
    status = connection.getresponse().status
    connection.close()
    return status


def test_a_dead_worker_is_replaced_and_stopping_loses_nothing(running):
    control, url, logs = running
    sent, acknowledged = bodies(400), 0
    until(lambda: len(list(logs.glob("worker-*/decisions.jsonl"))) == 2)
    before = workers(control.pid)
    for number, body in enumerate(sent):
        if number == 200:
            os.kill(min(before), signal.SIGKILL)
            until(lambda: len(workers(control.pid) - before) == 1)
        # A connection each, so that both workers get some. What is in the socket's queue outlives a worker.
        acknowledged += post(url, body) == 200
    assert acknowledged == 400
    control.send_signal(signal.SIGTERM)
    assert control.wait(60) == 0
    counts = [verify(log).seq for log in sorted(logs.glob("worker-*"))]
    assert sum(counts) == 400
    assert len(counts) == 2


def test_workers_do_not_outlive_their_control_process(running):
    control, _, logs = running
    until(lambda: len(list(logs.glob("worker-*/decisions.jsonl"))) == 2)
    before = workers(control.pid)
    control.kill()
    control.wait()
    until(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() and _alive(pid) for pid in before))


def _alive(pid):
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]

"""The service as a process, killed under load: what it acknowledged is in its log, and the log verifies."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from benchmarks.service import bodies
from reference_service.audit.archive import find
from reference_service.audit.files import segments
from reference_service.audit.verify import verify
from reference_service.commands import audit

ROOT = Path(__file__).parents[2]
PATH = "/v2/models/payments/infer"
CLIENTS = 16


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """One life of the service."""

    def __init__(self, settings, start=("-m", "reference_service")):
        self.url = f"http://127.0.0.1:{free_port()}"
        port = self.url.rpartition(":")[2]
        self.process = subprocess.Popen([sys.executable, *start, str(settings), "--port", port], cwd=ROOT)
        until = time.monotonic() + 60
        while time.monotonic() < until and self.process.poll() is None:
            try:
                if httpx.get(f"{self.url}/v2/health/ready").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        self.end(signal.SIGKILL)
        raise AssertionError("the service did not become ready")

    def end(self, how):
        self.process.send_signal(how)
        return self.process.wait(30)


@pytest.fixture
def settings(tmp_path):
    bundles = ROOT / "scenarios/bundles/payments"
    found = {
        "bundles": str(bundles),
        "feature_store": str(bundles / "customers.npz"),
        "decision_log": str(tmp_path / "log"),
        "token": "secret",
        "policy": {"log_segment": 1 << 17},  # files fill up, so that kills fall on rotations as well
    }
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(found))
    return path


async def load(url, sent, acknowledged, seconds, process):
    """Ask from many connections until the service dies."""

    async def client(k):
        async with httpx.AsyncClient(base_url=url) as http:
            for body in sent[k::CLIENTS]:
                try:
                    reply = await http.post(PATH, content=body)
                except httpx.TransportError:
                    return
                assert reply.status_code == 200
                acknowledged.append(reply.json()["id"])

    before = len(acknowledged)

    async def killer():
        await asyncio.sleep(seconds)
        for _ in range(200):  # a busy machine may not have answered anybody yet
            if len(acknowledged) > before + CLIENTS:
                break
            await asyncio.sleep(0.05)
        process.end(signal.SIGKILL)

    await asyncio.gather(killer(), *(client(k) for k in range(CLIENTS)))


def logged(log):
    files = [*segments(log), log / "decisions.jsonl"]
    return {json.loads(line)["id"] for path in files for line in path.read_bytes().splitlines() if b'"id"' in line}


def test_nothing_acknowledged_is_lost_when_the_process_is_killed_five_times(settings, tmp_path, capsys):
    sent, acknowledged = bodies(30_000), []
    for life in range(5):
        service = Process(settings)
        asyncio.run(load(service.url, sent[life * 6000 : (life + 1) * 6000], acknowledged, 0.5 + 0.3 * life, service))
        assert verify(tmp_path / "log").seq >= len(acknowledged)
    log = tmp_path / "log"
    assert len(acknowledged) > 100
    assert set(acknowledged) <= logged(log)
    assert audit.main([str(log)]) == 0
    assert " 0 lost" in capsys.readouterr().out
    assert find(log, acknowledged[0])[0].id == acknowledged[0]


SABOTAGED = """
import sys
sys.path.insert(0, "tests/scenario")
import saboteurs
from reference_service.__main__ import main
saboteurs.logs_after_replying.sabotage()
main()
"""


def test_a_service_that_replies_before_it_writes_is_found_out(settings, tmp_path):
    """Saboteur 44: what the test above would miss if it could not fail."""
    acknowledged = []
    service = Process(settings, start=("-c", SABOTAGED))
    asyncio.run(load(service.url, bodies(6000), acknowledged, 0.5, service))
    assert set(acknowledged) - logged(tmp_path / "log")


def test_a_decision_is_reproduced_by_one_command(settings, tmp_path):
    service = Process(settings)
    body = bodies(1)[0]
    with httpx.Client(base_url=service.url) as http:
        reply = http.post(PATH, content=body).json()
    assert service.end(signal.SIGTERM) in {0, -signal.SIGTERM}  # the server passes the signal on once it is done
    command = [sys.executable, "-m", "reference_service", "reproduce", str(settings), reply["id"]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.rstrip().endswith("equal")
    payloads = tmp_path / "log/payloads.jsonl"
    payloads.write_bytes(payloads.read_bytes().replace(b'"received":[', b'"received":[1', 1))
    assert subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 1

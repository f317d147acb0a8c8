"""The service as a process, killed under load: what it acknowledged is in its log, and the log verifies."""

from __future__ import annotations

import signal
import subprocess
import sys

import httpx
import pytest

from benchmarks import crash
from benchmarks.service import bodies
from reference_service.audit.archive import find
from reference_service.commands import audit

pytestmark = pytest.mark.beside


def test_nothing_acknowledged_is_lost_when_the_process_is_killed_five_times(tmp_path, capsys):
    told, wrong = crash.survive(tmp_path, kills=5, seconds=0.4)
    assert not wrong
    assert told > 100
    assert audit.main([str(tmp_path / "log")]) == 0
    assert " 0 lost" in capsys.readouterr().out
    assert find(tmp_path / "log", "caller-0")[0].id == "caller-0"


SABOTAGED = """
import asyncio
from reference_service.__main__ import main
from reference_service.audit.files import FileSink
write = FileSink.__call__
def later(*block):
    asyncio.get_running_loop().call_later(0.2, write, *block)
FileSink.__call__ = later
main()
"""


def test_a_service_that_replies_before_it_writes_is_found_out(capsys):
    """Saboteur 44: what the test above would miss if it could not fail."""
    assert crash.main(["1", "0.4"], start=("-c", SABOTAGED)) == 1
    assert "logged nothing" in capsys.readouterr().err


def test_a_decision_is_reproduced_by_one_command(tmp_path):
    settings = crash.settings(tmp_path)
    life = crash.Life(settings)
    body = bodies(1)[0]
    reply = httpx.post(f"http://127.0.0.1:{life.port}{crash.PATH}", content=body).json()
    assert life.end(signal.SIGTERM) in {0, -signal.SIGTERM}  # the server passes the signal on once it is done
    command = [sys.executable, "-m", "reference_service", "reproduce", str(settings), reply["id"]]
    done = subprocess.run(command, cwd=crash.ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.rstrip().endswith("equal")
    payloads = tmp_path / "log/payloads.jsonl"
    payloads.write_bytes(payloads.read_bytes().translate(bytes.maketrans(b"AB", b"BA")))  # of the values
    assert subprocess.run(command, cwd=crash.ROOT, capture_output=True, check=False).returncode == 1

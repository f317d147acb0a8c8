"""Our service and its peers as servers of their own under the load of wrk: one named row a request, keep-alive."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import forest24

ROOT = Path(__file__).parent.parent
ROWS = 2000
CONNECTIONS = 32
TASKSET = "/usr/bin/taskset"
CLOCK = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass(frozen=True)
class Server:
    """One server under load."""

    name: str
    command: list[str]
    port: int
    path: str
    body: Callable[[int, list[float]], bytes]
    score: Callable[[Any], float]


def first_score(reply: Any) -> float:
    """The score in a reply of the inference protocol."""
    return float(reply["outputs"][0]["data"][0])


def prepared(folder: Path) -> tuple[Server, Path]:
    """Our server, its model and its settings in `folder`; and a file of its requests."""
    forest24.build(folder)
    settings = {"bundles": str(folder / "bundles"), "decision_log": str(folder / "log"), "token": "secret"}
    (folder / "service.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "reference_service", str(folder / "service.json"), "--port", "8911"]
    ours = Server("ours", command, 8911, "/v2/models/bench/infer", forest24.for_us, first_score)
    return ours, written(folder, ours)


def written(folder: Path, server: Server) -> Path:
    """A file of requests, one a line, as this server wants them."""
    path = folder / f"{server.name}.jsonl"
    path.write_bytes(b"\n".join(server.body(k, row) for k, row in enumerate(forest24.rows(ROWS, 5).tolist())))
    return path


@contextmanager
def running(server: Server, cores: str, *more: str) -> Iterator[int]:
    """The server on these cores, once it answers; its process group's id."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    environment["PATH"] = f"{Path(server.command[0]).parent}:{environment['PATH']}"
    command = [TASKSET, "-c", cores, *server.command, *more]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True, **quiet)
    try:
        row = forest24.rows(1, 7)[0].tolist()
        until = time.monotonic() + 120
        while True:
            try:
                ask(server, server.body(0, row))
                break
            except (OSError, urllib.error.URLError):
                if process.poll() is not None or time.monotonic() > until:
                    raise SystemExit(f"{server.name} does not answer: {' '.join(server.command)}") from None
                time.sleep(0.2)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def ask(server: Server, body: bytes) -> float:
    """The score of one row."""
    request = urllib.request.Request(  # loopback
        f"http://127.0.0.1:{server.port}{server.path}", body, {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as reply:  # noqa: S310
        return server.score(json.load(reply))


def load(server: Server, file: Path, seconds: float, cores: str) -> tuple[float, float]:
    """Requests a second, and the share of a core that the generator needed. Raises SystemExit at any error."""
    command = [TASKSET, "-c", cores, "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s", "--timeout", "10s"]
    command += [
        "-s",
        str(ROOT / "benchmarks/rows.lua"),
        f"http://127.0.0.1:{server.port}",
        "--",
        str(file),
        server.path,
    ]
    before = os.times()
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    after = os.times()
    if "Non-2xx" in out or "Socket errors" in out:
        raise SystemExit(f"{server.name}: not every request was answered\n{out}")
    busy = after.children_user + after.children_system - before.children_user - before.children_system
    rate = re.search(r"Requests/sec:\s+([\d.]+)", out)
    assert rate is not None, out  # noqa: S101
    return float(rate[1]), busy / seconds


def cpu(leader: int) -> tuple[float, float]:
    """(user, system) seconds of every process in the session that `leader` leads."""
    user = system = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader or (fields[1] == str(leader)):
            user, system = user + int(fields[11]) / CLOCK, system + int(fields[12]) / CLOCK
    return user, system

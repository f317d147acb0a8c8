"""One row a request over HTTP, beside MLServer, LitServe and BentoML: ``python -m benchmarks.http [seconds]``.

The same LightGBM model (200 trees of 31 leaves, 24 features with nulls) in each; one named row a request, keep-alive,
32 connections, one worker on the first core; wrk (C) on the second. Ours has every safeguard on and its decision log on
disk; the peers have none. They take turns. Then two of our workers, for the highest rate. Needs wrk, and the peers'
environments of ``python tests/servers/place.py mlserver litserve bentoml``.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks import forest24
from benchmarks.figures import show

ROOT = Path(__file__).parent.parent
PLACE = Path(os.environ.get("SEATRIAL_SERVERS") or Path.home() / ".cache/seatrial/servers")
PAIRS = 10
ROWS = 2000
CONNECTIONS = 32
FULL = 0.9  # of a core: then the generator, and not the server, is measured
GOAL = 1_000_000  # requests a minute
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


def _first(reply: Any) -> float:
    return float(reply["outputs"][0]["data"][0])


def prepared(folder: Path) -> tuple[Server, Path]:
    """Our server, its model and its settings in `folder`; and a file of its requests."""
    forest24.build(folder)
    settings = {"bundles": str(folder / "bundles"), "decision_log": str(folder / "log"), "token": "secret"}
    (folder / "settings.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "reference_service", str(folder / "settings.json"), "--port", "8911"]
    ours = Server("ours", command, 8911, "/v2/models/bench/infer", forest24.for_us, _first)
    return ours, written(folder, ours)


def written(folder: Path, server: Server) -> Path:
    """A file of requests, one a line, as this server wants them."""
    path = folder / f"{server.name}.jsonl"
    path.write_bytes(b"\n".join(server.body(k, row) for k, row in enumerate(forest24.rows(ROWS, 5).tolist())))
    return path


def peers(folder: Path) -> list[Server]:
    """The others, whether their environments are there or not."""

    def plain(reply: Any) -> float:
        return float(reply["score"])

    def peer(name: str, port: int, path: str, body: Any, score: Any) -> Server:
        command = [str(PLACE / name / "bin/python"), str(ROOT / f"benchmarks/peers/{name}_peer.py"), str(folder)]
        return Server(name, [*command, str(port)], port, path, body, score)

    return [
        peer("mlserver", 8921, "/v2/models/bench/infer", forest24.for_mlserver, _first),
        peer("litserve", 8931, "/predict", forest24.named, plain),
        peer("bentoml", 8941, "/predict", forest24.as_argument, plain),
    ]


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


def agree(all_servers: list[Server]) -> None:
    """The same rows have the same scores everywhere. Raises SystemExit."""
    for index, row in enumerate(forest24.rows(20, 9).tolist()):
        scores = [ask(server, server.body(index, row)) for server in all_servers]
        if max(scores) - min(scores) > 1e-6:  # noqa: PLR2004  # ours shows six digits
            raise SystemExit(f"the servers disagree: {scores}")


def main() -> None:
    """Measure and print."""
    if shutil.which("wrk") is None:
        raise SystemExit("needs wrk (Debian: apt-get install wrk)")
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory(prefix="seatrial-http-") as name:
        folder = Path(name)
        ours, file = prepared(folder)
        found = [ours, *(server for server in peers(folder) if Path(server.command[0]).exists())]
        files = {ours.name: file} | {server.name: written(folder, server) for server in found[1:]}
        rates: dict[str, list[float]] = {server.name: [] for server in found}
        with ExitStack() as stack:
            for server in found:
                stack.enter_context(running(server, "0"))
            agree(found)
            for server in found:
                load(server, files[server.name], 2, "1")  # warm
            for _ in range(PAIRS):
                for server in found:
                    rate, busy = load(server, files[server.name], seconds, "1")
                    rates[server.name].append(rate)
                    if busy > FULL:
                        print(f"the generator needed {busy:.0%} of its core for {server.name}", file=sys.stderr)
        for peer in found[1:]:
            show("http.one_worker", rates["ours"], rates[peer.name], peer_name=peer.name, unit="requests/s")
        command = [*found[0].command[:-1], "8951"]
        highest(dataclasses.replace(found[0], command=command, port=8951), file, seconds)


def highest(ours: Server, file: Path, seconds: float) -> None:
    """Two workers, and wrk wherever it finds room: the highest rate, and what a request costs whom."""
    with running(ours, "0,1", "--workers", "2") as leader:
        load(ours, file, 2, "0,1")
        runs = []
        for _ in range(PAIRS):
            before = cpu(leader)
            rate, busy = load(ours, file, seconds, "0,1")
            after = cpu(leader)
            count = rate * seconds
            runs.append(((after[0] - before[0]) / count, (after[1] - before[1]) / count, busy / rate, rate * 60))
    user, system, generator, minute = (statistics.median(column) for column in zip(*runs, strict=True))
    line = {
        "name": "http.two_workers",
        "ours": round(minute),
        "goal": GOAL,
        "ratio": round(minute / GOAL, 3),
        "unit": "requests/min",
        "us_per_request": {
            "service": round(user * 1e6, 1),
            "service_kernel": round(system * 1e6, 1),
            "generator": round(generator * 1e6, 1),
        },
        "n": len(runs),
    }
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()

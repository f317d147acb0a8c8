"""One row a request over HTTP, beside MLServer, LitServe and BentoML: ``python -m benchmarks.http [seconds]``.

The same LightGBM model (200 trees of 31 leaves, 24 features with nulls) in each; one named row a request, keep-alive,
32 connections, one worker on the first core; wrk (C) on the second. Ours has every safeguard on and its decision log on
disk; the peers have none. They take turns. Then where each microsecond of ours goes (to stderr, as `safeguard_cost`),
and two of our workers, for the highest rate. Needs wrk, and the peers' environments of
``python tests/servers/place.py mlserver litserve bentoml``.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import forest24
from benchmarks.figures import show
from benchmarks.safeguard_cost import measure
from benchmarks.under_load import ROOT, Server, ask, cpu, first_score, load, prepared, running, written

PLACE = Path(os.environ.get("SEATRIAL_SERVERS") or Path.home() / ".cache/seatrial/servers")
PAIRS = 10
FULL = 0.9  # of a core: then the generator, and not the server, is measured
GOAL = 1_000_000  # requests a minute


def peers(folder: Path) -> list[Server]:
    """The others, whether their environments are there or not."""

    def plain(reply: Any) -> float:
        return float(reply["score"])

    def peer(name: str, port: int, path: str, body: Any, score: Any) -> Server:
        command = [str(PLACE / name / "bin/python"), str(ROOT / f"benchmarks/peers/{name}_peer.py"), str(folder)]
        return Server(name, [*command, str(port)], port, path, body, score)

    return [
        peer("mlserver", 8921, "/v2/models/bench/infer", forest24.for_mlserver, first_score),
        peer("litserve", 8931, "/predict", forest24.named, plain),
        peer("bentoml", 8941, "/predict", forest24.as_argument, plain),
    ]


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
        print("\n".join(measure(folder, ours, file, 4 * seconds)[0]), file=sys.stderr, flush=True)  # no JSON lines
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

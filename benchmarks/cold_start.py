"""From the start of a process to its first scored reply: ``python -m benchmarks.cold_start``.

The process is the service as operators start it; its numba cache is what `seatrial-service warm` leaves behind. The
peer is the same on an empty cache: what the first start would take if nobody had warmed it. The parts are of another
process that takes the same steps: interpreter and imports; loading and verifying the bundle; the first reply.
Needs the bundles of ``python -m scenarios.prepare``.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

from benchmarks import shipped
from benchmarks.figures import show
from benchmarks.service import bodies

ROOT = Path(__file__).parent.parent
STARTS = 5
PATIENCE = 120.0  # seconds
PARTS = """
import json, sys, time
import asyncio, msgspec
from reference_service.app import create_app
from reference_service.clock import SystemClock
points = [time.monotonic()]
async def main():
    app = create_app(msgspec.json.decode(open(sys.argv[1], "rb").read()), clock=SystemClock())
    service = await app.startup()
    points.append(time.monotonic())
    now = service.clock.now_ns()
    answer = service.pipeline.quick(open(sys.argv[2], "rb").read(), now, now)
    answer if type(answer) is bytes else await answer
    points.append(time.monotonic())
    await app.shutdown()
asyncio.run(main())
print(json.dumps(points))
"""


def first_reply(settings: Path, body: bytes, environment: Mapping[str, str]) -> tuple[float, float]:
    """Seconds from spawning the service to its first 200, and the CPU seconds of its whole short life."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    begin, used = time.monotonic(), cpu()
    took = 0.0
    command = [sys.executable, "-m", "reference_service", str(settings), "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        while not took and time.monotonic() - begin < PATIENCE and process.poll() is None:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
            try:
                connection.request("POST", "/v2/models/payments/infer", body)
                if connection.getresponse().status == HTTPStatus.OK:
                    took = time.monotonic() - begin
            except OSError:
                time.sleep(0.002)
            finally:
                connection.close()
    finally:
        process.terminate()
        process.wait()
    if not took:
        raise SystemExit("the service never answered")
    return took, cpu() - used


def cpu() -> float:
    """CPU seconds of all processes that this one has started and seen end."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def parts(settings: Path, body: Path, environment: Mapping[str, str]) -> list[float]:
    """Seconds of interpreter and imports, of startup, of the first reply."""
    begin = time.monotonic()
    command = [sys.executable, "-c", PARTS, str(settings), str(body)]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE)
    points = [begin, *json.loads(done.stdout)]
    return [b - a for a, b in itertools.pairwise(points)]


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = shipped.bundles("payments")
        settings, body = Path(scratch) / "settings.json", Path(scratch) / "body.json"
        settings.write_text(json.dumps({"bundles": str(folder), "feature_store": str(folder / "customers.npz")}))
        body.write_bytes(bodies(1)[0])
        warm = dict(os.environ) | {"NUMBA_CACHE_DIR": f"{scratch}/warm"}
        subprocess.run([sys.executable, "-m", "reference_service", "warm"], cwd=ROOT, env=warm, check=True)
        ours, peer, split = [], [], []
        for start in range(STARTS):
            ours.append(first_reply(settings, body.read_bytes(), warm))
            peer.append(first_reply(settings, body.read_bytes(), warm | {"NUMBA_CACHE_DIR": f"{scratch}/{start}"}))
            split.append(parts(settings, body, warm))
        (wall, spent), (peer_wall, peer_spent) = zip(*ours, strict=True), zip(*peer, strict=True)
        show("cold start to first reply", wall, peer_wall, peer_name="the same without a warm cache", unit="s")
        show("cold start, CPU", spent, peer_spent, peer_name="the same without a warm cache", unit="CPU s")
        for name, of in zip(
            ("interpreter and imports", "startup", "first reply"), zip(*split, strict=True), strict=True
        ):
            show(f"cold start, {name}", of, wall, peer_name="cold start to first reply", unit="s")


if __name__ == "__main__":
    main()

"""`abandoned.work`: red on a server that works for nobody, green on one that looks up, UNKNOWN where nothing shows."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from simulator.conformance.bench import Alone, Bench
from simulator.conformance.berth import Berth
from simulator.conformance.probes import abandoned
from simulator.drivers.start import free_port
from simulator.targets.model import Target
from simulator.verdict import Status

SERVER = Path(__file__).with_name("hungry_server.py")
ROW = {"amount": 1.0}
TARGET = Target.model_validate(
    {"target": 1, "start": {"url": "http://x"}, "protocol": "json", "read": {"score": "$.score"}}
)
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the CPU time of another process is read as on Linux")


@pytest.mark.parametrize(
    ("burn_ms", "heeds", "verdict"),
    [(24, {}, Status.FAIL), (24, {"HEEDS": "1"}, Status.PASS), (0, {}, Status.UNKNOWN)],
)
def test_work_for_those_who_left_shows_in_cpu_time(monkeypatch, burn_ms, heeds, verdict):
    monkeypatch.setattr(abandoned, "HEAVY", (1,))
    port = free_port()

    async def go():
        command = (sys.executable, str(SERVER), str(port), str(burn_ms))
        berth = Berth(TARGET, f"http://127.0.0.1:{port}", command, heeds)
        try:
            await berth.start()
            async with berth.client() as http:
                bench = Bench(TARGET, http, [ROW])
                bench.alone = (Alone(ROW, bench.wire.body([ROW]), 0.5),)
                while not (await bench.ask(bench.alone[0].body)).scores:  # noqa: ASYNC110 - until it listens
                    await asyncio.sleep(0.05)
                return await abandoned._work(bench, berth)
        finally:
            await berth.stop()

    found = asyncio.run(go())
    assert found.status is verdict, found.why

"""The time of day is set for whoever reads it; where nobody does, the event is unsupported and nothing is set."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

from simulator.drivers.virtual.incidents import Incidents
from simulator.drivers.virtual.loop import VirtualLoop
from simulator.scenario.quantities import HOUR, SECOND
from simulator.scenario.verbs import Event

AHEAD = Event.model_validate({"event": "ahead", "at": "0s", "for": "10s", "clock_step": {"by": "25h"}})


def incidents(loop):
    spec = SimpleNamespace(scenario=SimpleNamespace(event=lambda _: AHEAD))
    return Incidents(SimpleNamespace(loop=loop, sending=True, seams={}, spec=spec), clients=None)


def test_a_clock_that_nobody_reads_is_not_set():
    loop = VirtualLoop()
    befalls = incidents(loop)
    befalls.begin((0, AHEAD))
    receipt = befalls.receipts()["ahead"]
    assert (receipt.supported, receipt.delivered, loop.wall_ahead_ns) == (False, 0, 0)
    assert "clock: patched" in receipt.detail
    loop.close()


def test_the_time_of_day_is_set_and_set_right_and_no_timer_is_due_earlier():
    code = (
        f"import sys; sys.path.insert(0, {str(__file__).rpartition('/')[0]!r}); import test_clock_step as t; t.inside()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def inside():
    """In a process of its own: patched clocks are never given back."""
    import time

    from simulator.drivers.virtual.clocks import EPOCH_NS, patch_clocks

    loop, read = VirtualLoop(), []
    patch_clocks(loop)
    befalls = incidents(loop)
    befalls.begin((0, AHEAD))
    for at in (5, 15):
        loop.post(at * SECOND, lambda _: read.append((time.time_ns() - EPOCH_NS, time.monotonic_ns())), None)
    loop.run_until(20 * SECOND)
    assert read == [(25 * HOUR + 5 * SECOND, 5 * SECOND), (15 * SECOND, 15 * SECOND)]
    assert befalls.receipts()["ahead"].potent == 1

"""Saboteurs of the harness: its plumbing with one defect each, in the process of the run; the service is honest."""

from __future__ import annotations

from reference_service.app import create_app
from simulator.drivers.virtual.clients import Clients
from simulator.drivers.virtual.scene import Scene
from simulator.scenario.quantities import SECOND
from simulator.targets.sink import Sink


def faults_not_wired(settings, *, clock, seams):  # noqa: ARG001 - not using them is the defect
    """56. The harness offers its seams, and nothing stands in front of the dependencies."""
    return create_app(settings, clock=clock)


def receiver_dead(settings, *, clock, seams):
    """57. Whatever alert is sent is answered by 500 and forgotten."""
    Sink.receive = lambda *_: 500
    return create_app(settings, clock=clock, seams=seams)


def driver_says_it_is_late(settings, *, clock, seams):
    """58. The driver was two seconds behind its schedule, and says so."""
    note = Scene.note

    def late(self, kind, **data):
        note(self, kind, **({"late_p99_ns": 2 * SECOND, "late_max_ns": 2 * SECOND} if kind == "driver" else data))

    Scene.note = late
    return create_app(settings, clock=clock, seams=seams)


def driver_is_late(settings, *, clock, seams):
    """58. Every request goes out two seconds behind its schedule, and the driver has to notice by itself."""
    start = Clients._start

    def late(self, exchange):
        self.loop.post(self.loop.now_ns + 2 * SECOND, lambda _: start(self, exchange), None)

    Clients._start = late
    return create_app(settings, clock=clock, seams=seams)

"""Saboteurs of the harness: its plumbing with one defect each, in the process of the run; the service is honest."""

from __future__ import annotations

import itertools
from dataclasses import replace

from reference_service.app import create_app
from simulator.drivers import record
from simulator.drivers.record import Recorder
from simulator.drivers.virtual.clients import Clients
from simulator.drivers.virtual.cpu import VirtualCpu
from simulator.drivers.virtual.scene import Scene
from simulator.history.append import Writer
from simulator.scenario.quantities import SECOND
from simulator.targets.seams import Seam
from simulator.targets.sink import Sink


def faults_not_wired(settings, *, clock, seams):  # noqa: ARG001 - not using them is the defect
    """56. The harness offers its seams, and nothing stands in front of the dependencies."""
    return create_app(settings, clock=clock)


def receiver_dead(settings, *, clock, seams):
    """57. Whatever alert is sent is answered by 500 and forgotten."""
    Sink.receive = lambda *_: 500
    return create_app(settings, clock=clock, seams=seams)


def receiver_hears_heartbeats_alone(settings, *, clock, seams):
    """Every alert is taken with thanks, and lost; heartbeats are kept, so that the receiver seems to be alive."""
    receive = Sink.receive

    def deaf(self, path, body):
        status = receive(self, path, body)
        self.alerts.clear()
        return status

    Sink.receive = deaf
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


def faults_end_early(settings, *, clock, seams):
    """A dependency that is to be down for a minute is whole again after half of it."""
    wrap, asked = Seam.wrap, [0]

    def soon_whole(self, call):
        through = wrap(self, call)

        def counted(*args):
            asked[0] += self.broken
            if self.broken and asked[0] > 20:
                self.heal()
            return through(*args)

        return counted

    for name, seam in seams.items():
        seams[name] = soon_whole.__get__(seam.__self__)
    return create_app(settings, clock=clock, seams=seams)


def driver_sends_twice(settings, *, clock, seams):
    """Every request goes out twice, under one id, and one of the two is on record."""
    start = Clients._start

    def twice(self, exchange):
        start(self, exchange)
        start(self, type(exchange)(self.client, exchange.planned, exchange.sent_ns))

    Clients._start = twice
    return create_app(settings, clock=clock, seams=seams)


def receiver_has_its_own_time(settings, *, clock, seams):
    """The alert receiver's clock is three seconds fast."""
    take = Sink._take

    def fast(self, path, body):
        now_ns = self._now_ns
        self._now_ns = lambda: now_ns() + 3 * SECOND
        try:
            return take(self, path, body)
        finally:
            self._now_ns = now_ns

    Sink.receive = fast
    return create_app(settings, clock=clock, seams=seams)


def nothing_is_healed(settings, *, clock, seams):
    """A dependency that was broken stays so, when its event is over and when the run is."""
    Seam.heal = lambda _: None
    return create_app(settings, clock=clock, seams=seams)


def ways_are_never_bad(settings, *, clock, seams):
    """What is to befall requests on their way befalls none of them."""
    bad_way = Recorder.take

    def good(self, *chunk):
        planned = bad_way(self, *chunk)
        self.bad_ways.clear()
        return planned

    Recorder.take = good
    return create_app(settings, clock=clock, seams=seams)


def receipts_are_plans(settings, *, clock, seams):  # noqa: ARG001 - not using them is half of the defect
    """Nothing stands in front of the dependencies, and what was planned is said to have been done."""
    realise = record.realise

    def promised(*run):
        return tuple(replace(one, start_ns=one.scheduled_ns, planned=9, delivered=9, potent=9) for one in realise(*run))

    record.realise = promised
    return create_app(settings, clock=clock)


def faults_are_never_put_on(settings, *, clock, seams):
    """The service goes through the seams, no fault is ever on, and what was planned is said to have been done."""
    realise = record.realise

    def promised(*run):
        return tuple(replace(one, start_ns=one.scheduled_ns, planned=9, delivered=9, potent=9) for one in realise(*run))

    record.realise = promised
    Seam.break_with = lambda *_: None
    return create_app(settings, clock=clock, seams=seams)


def a_reply_in_a_thousand_is_not_written(settings, *, clock, seams):
    """The history forgets a reply now and then."""
    replied, seen = Writer.replied, itertools.count(1)
    Writer.replied = lambda self, rows: replied(self, [row for row in rows if next(seen) % 1000])
    return create_app(settings, clock=clock, seams=seams)


def half_of_the_labels_are_not_written(settings, *, clock, seams):
    """The history forgets every second label that was acknowledged."""
    labelled, seen = Writer.labelled, itertools.count(1)
    Writer.labelled = lambda self, items, at_ns: labelled(self, [one for one in items if next(seen) % 2], at_ns)
    return create_app(settings, clock=clock, seams=seams)


def what_is_disturbed_is_sent_as_it_was(settings, *, clock, seams):
    """The plan says that keys are renamed; the bytes that are sent are those of the clean rows."""
    bodies = Recorder._bodies
    Recorder._bodies = lambda self, chunk: bodies(self, replace(chunk, overrides={}))
    return create_app(settings, clock=clock, seams=seams)


def nobody_stands_still(settings, *, clock, seams):
    """The service is said to be paused, and works on."""
    VirtualCpu.pause = lambda *_: None
    return create_app(settings, clock=clock, seams=seams)


def replies_are_early(settings, *, clock, seams):
    """What is written down of a reply is that it came a second before it did, and before it was asked for."""
    concluded = Recorder.concluded

    def early(self, exchange):
        exchange.replied_ns -= SECOND
        concluded(self, exchange)

    Recorder.concluded = early
    return create_app(settings, clock=clock, seams=seams)

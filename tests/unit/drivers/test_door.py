"""What comes to the alert receiver is counted before it: nothing is lost unseen; what cannot be read is no silence."""

from __future__ import annotations

import json

import pytest

from simulator.drivers.door import Door
from simulator.history.schema import AlertRecord
from simulator.targets.model import POLLED, Alerts, Heartbeat
from simulator.targets.seams import Fault, Seam
from simulator.targets.sink import Sink


def told(*names):
    """A notification of Alertmanager's."""
    alerts = [{"labels": {"alertname": name}, "fingerprint": name, "status": "firing"} for name in names]
    return json.dumps({"alerts": alerts}).encode()


@pytest.fixture
def sink():
    return Sink(Alerts(receive=["alertmanager"], heartbeat=Heartbeat(every="1m")), lambda: 7)


def test_what_was_kept_is_what_came(sink):
    door = Door(sink)
    sink.alerts.append(AlertRecord(1, POLLED, "x", "asked_for", "", "", firing=True))  # through no door
    statuses = [
        door.receive("/alertmanager", told("a", "b")),
        door.receive("/alertmanager", told("Watchdog")),
        door.receive("/alertmanager", told("c")[:-1]),
        door.receive("/elsewhere", told("d")),
        door.receive("/", b""),
    ]
    assert (statuses, door.lost()) == ([200, 200, 400, 404, 404], "")
    assert [(note.kind, note.data["route"]) for note in sink.notes] == [
        ("heartbeat", "alertmanager"), ("unread", "alertmanager"), ("unread", "elsewhere"),
    ]  # fmt: skip


def test_what_a_body_says_beside_its_alert_is_no_alert():
    door = Door(Sink(Alerts(receive=["slack"]), lambda: 7))
    event = {"alertname": "a", "fingerprint": "a", "status": "firing"}
    body = {"metadata": {"event_payload": event}, "alerts": ["one", "two"]}
    assert (door.receive("/slack", json.dumps(body).encode()), door.lost()) == (200, "")


def test_a_receiver_that_keeps_heartbeats_alone_is_found_out(sink):
    door = Door(sink)
    door.receive("/alertmanager", told("Watchdog"))
    door.receive("/alertmanager", told("a", "b"))
    del sink.alerts[-1]
    assert door.lost() == "the alert receiver kept 2 of 3 that came"


@pytest.mark.parametrize(("by_an_event", "lost"), [(True, ""), (False, "the alert receiver kept 0 of 1 that came")])
def test_who_refuses_without_an_event_that_says_so_has_lost_it(sink, by_an_event, lost):
    seam = Seam("alert_sink", 1)
    sink.gate = seam.wrap(sink.gate)
    seam.break_with(Fault("outage", "down"))
    door = Door(sink, (lambda: seam.broken) if by_an_event else (lambda: False))
    assert door.receive("/alertmanager", told("a")) == 503
    assert door.lost() == lost

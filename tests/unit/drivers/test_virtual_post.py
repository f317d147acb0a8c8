"""Alerts without sockets reach the receiver as those over HTTP do: the same records, in the same order."""

import pytest

from reference_service.monitor.alerts import Notification
from reference_service.monitor.http_post import HttpPost
from reference_service.monitor.routes import Routes
from simulator.drivers.virtual.app import VirtualClock
from simulator.drivers.virtual.loop import VirtualLoop
from simulator.drivers.virtual.post import Post
from simulator.targets import sink as sinks
from simulator.targets.model import Alerts, Heartbeat
from simulator.targets.seams import Fault, Seam

ROUTES = ("alertmanager", "pagerduty", "slack")


def note(name, *, firing=True):
    return Notification(
        name, "amount", "page", f"{name:0>16}", firing=firing, summary="", starts_ns=1, ends_ns=0 if firing else 2
    )


def heard(*, sockets, down=False):
    """What the receiver knows after two instants, and what the sender counted."""
    loop = VirtualLoop()
    sink = sinks.Sink(Alerts(receive=ROUTES, heartbeat=Heartbeat(every="1m")), lambda: loop.now_ns)
    loop.network.serve(sinks.HOST, sinks.PORT, sink.protocol)
    seam = Seam("alert_sink", 1)
    sink.gate = seam.wrap(sink.gate)
    if down:
        seam.break_with(Fault("outage", "down"))
    urls = {route: f"http://{sinks.HOST}:{sinks.PORT}/{route}" for route in ROUTES}
    post = HttpPost() if sockets else Post(loop, sink.receive)
    routes = Routes(urls, post, clock=VirtualClock(loop), service="s", routing_key="k")

    def tell(notes):
        routes.tell(notes)
        loop.call_soon(routes.flush)

    loop.post(1_000, tell, [note("a"), routes.heartbeat(1_000), note("b")])
    loop.post(9_000_000_000, tell, [note("a", firing=False)])
    loop.run_until(20_000_000_000)
    loop.run_until_complete(routes.close())
    loop.close()
    sent = [(route.sent, route.failed, len(route.outbox)) for route in routes.routes.values()]
    return sink.alerts, sink.notes, seam.calls, sent


@pytest.mark.parametrize("down", [False, True])
def test_the_receiver_hears_the_same_either_way(down):
    with_sockets, without = heard(sockets=True, down=down), heard(sockets=False, down=down)
    assert with_sockets == without
    assert bool(without[0]) is not down  # one that hears nothing would agree as well


def test_any_other_receiver_is_a_real_connection_and_voids_the_run():
    loop = VirtualLoop()
    post = Post(loop, lambda _path, _body: 200)
    with pytest.raises(ConnectionRefusedError):
        loop.run_until_complete(post(f"http://{sinks.HOST}.example.org/slack", b"{}"))
    loop.close()
    assert "opened a connection to alerts.seatrial.invalid.example.org:80" in loop.violations[0]

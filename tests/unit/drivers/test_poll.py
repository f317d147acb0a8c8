"""A Prometheus that is asked: alerts are what changes between two looks, heartbeats what stands, errors are notes."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from simulator.drivers import poll
from simulator.targets.model import Alerts
from simulator.targets.sink import Sink


def alert(name, state="firing", **labels):
    return {"labels": {"alertname": name, **labels}, "state": state, "activeAt": "2026-01-01T00:00:00Z"}


def watched(monkeypatch, *looks):
    """What a sink heard of so many replies, one a look; a reply that is None is a connection that fails."""
    settings = {"receive": [], "heartbeat": {"name": "Watchdog", "every": "5s"}, "poll": {"prometheus": "http://p:1/"}}
    replies = iter(looks)
    clock = {"ns": 0}

    def answer(request):
        assert str(request.url) == "http://p:1/api/v1/alerts"
        found = next(replies)
        if found is None:
            raise httpx.ConnectError("refused")
        return httpx.Response(200, json={"status": "success", "data": {"alerts": found}} if found != "odd" else [])

    client = httpx.AsyncClient
    monkeypatch.setattr(httpx, "AsyncClient", lambda **_: client(transport=httpx.MockTransport(answer)))
    alerts = Alerts.model_validate(settings)
    sink = Sink(alerts, lambda: clock["ns"])

    async def until(when_ns):
        if clock["ns"] >= 5_000_000_000 * len(looks):
            raise asyncio.CancelledError
        clock["ns"] = when_ns

    async def go():
        with pytest.raises(asyncio.CancelledError):
            await poll.watch(alerts.poll, sink, until)

    asyncio.run(go())
    return sink


def test_alerts_begin_and_end_once(monkeypatch):
    drift = alert("drift", field="amount", severity="page")
    sink = watched(monkeypatch, [], [drift], [drift, alert("other", "pending")], [])
    seen = [(a.at_ns // 1_000_000_000, a.name, a.field, a.severity, a.firing) for a in sink.alerts]
    assert seen == [(10, "drift", "amount", "page", True), (20, "drift", "amount", "page", False)]
    assert len({a.fingerprint for a in sink.alerts}) == 1


def test_the_heartbeat_is_no_alert_and_a_look_without_answer_changes_nothing(monkeypatch):
    watchdog, drift = alert("Watchdog"), alert("drift")
    sink = watched(monkeypatch, [watchdog], [watchdog, drift], None, "odd", [watchdog, drift])
    assert [(a.name, a.firing) for a in sink.alerts] == [("drift", True)]
    assert [n.at_ns // 1_000_000_000 for n in sink.notes if n.kind == "heartbeat"] == [5, 10, 25]
    assert [n.data["status"] for n in sink.notes if n.kind == "action"] == [0, 0]

"""One alert in three formats: Alertmanager's, PagerDuty's, Slack's; the same fingerprint in each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from reference_service.monitor.alerts import Notification

Format = Callable[[Notification, str, str], dict[str, Any] | list[dict[str, Any]]]
_PAGERDUTY: Final = {"page": "critical", "ticket": "warning", "none": "info"}
_NEVER: Final = "0001-01-01T00:00:00Z"  # Alertmanager's way to say "has not ended"


@lru_cache(maxsize=8)  # every receiver is told of the same moment
def _iso(ns: int) -> str:
    return f"{datetime.fromtimestamp(ns // 1_000_000_000, UTC).replace(tzinfo=None).isoformat()}Z" if ns else _NEVER


def _labels(note: Notification, service: str) -> dict[str, str]:
    labels = {"alertname": note.name, "field": note.field, "severity": note.severity, "service": service}
    return labels | ({"owner": note.owner} if note.owner else {})


def _annotations(note: Notification) -> dict[str, str]:
    return {"summary": note.summary} | ({"runbook_url": note.runbook} if note.runbook else {})


def alertmanager_v2(note: Notification, service: str, _key: str) -> list[dict[str, Any]]:
    """POST /api/v2/alerts of Alertmanager itself, which forgets what is not repeated to it."""
    alert: dict[str, Any] = {
        "labels": {name: value for name, value in _labels(note, service).items() if value},
        "annotations": _annotations(note),
        "startsAt": _iso(note.starts_ns),
    }
    return [alert if note.firing else alert | {"endsAt": _iso(note.ends_ns)}]


def alertmanager(note: Notification, service: str, _key: str) -> dict[str, Any]:
    """Webhook payload, version 4, with one alert."""
    status = "firing" if note.firing else "resolved"
    labels = _labels(note, service)
    alert = {
        "status": status,
        "labels": labels,
        "annotations": _annotations(note),
        "startsAt": _iso(note.starts_ns),
        "endsAt": _iso(note.ends_ns),
        "fingerprint": note.fingerprint,
    }
    return {
        "version": "4",
        "status": status,
        "receiver": "seatrial",
        "groupKey": note.fingerprint,
        "groupLabels": {"alertname": note.name},
        "commonLabels": labels,
        "commonAnnotations": {},
        "alerts": [alert],
    }


def pagerduty(note: Notification, service: str, key: str) -> dict[str, Any]:
    """Events API v2: the fingerprint is the de-duplication key."""
    return {
        "routing_key": key,
        "event_action": "trigger" if note.firing else "resolve",
        "dedup_key": note.fingerprint,
        "payload": {
            "summary": note.summary or note.name,
            "source": service,
            "severity": _PAGERDUTY[note.severity],
            "timestamp": _iso(note.ends_ns or note.starts_ns),
            "component": note.field,
            "class": note.name,
            "custom_details": {
                "alertname": note.name,
                "field": note.field,
                "severity": note.severity,
                "owner": note.owner,
            },
        },
    } | ({"links": [{"href": note.runbook, "text": "runbook"}]} if note.runbook else {})


def slack(note: Notification, service: str, _key: str) -> dict[str, Any]:
    """Incoming webhook: text for people, metadata for machines."""
    status = "firing" if note.firing else "resolved"
    subject = f"{note.name} ({note.field})" if note.field else note.name
    text = f"[{status.upper()}] {subject} on {service}: {note.summary}" + (f" @{note.owner}" if note.owner else "")
    return {
        "text": text,
        "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": text}}],
        "metadata": {
            "event_type": "seatrial_alert",
            "event_payload": {
                "alertname": note.name,
                "field": note.field,
                "severity": note.severity,
                "status": status,
                "fingerprint": note.fingerprint,
            },
        },
    }


FORMATS: Final[Mapping[str, Format]] = {
    "alertmanager": alertmanager,
    "alertmanager_v2": alertmanager_v2,
    "pagerduty": pagerduty,
    "slack": slack,
}

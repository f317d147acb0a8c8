"""One alert in three formats: Alertmanager's, PagerDuty's, Slack's; the same fingerprint in each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from reference_service.monitor.alerts import Notification

Format = Callable[[Notification, str, str], dict[str, Any]]
_PAGERDUTY: Final = {"page": "critical", "ticket": "warning", "none": "info"}
_NEVER: Final = "0001-01-01T00:00:00Z"  # Alertmanager's way to say "has not ended"


def _iso(ns: int) -> str:
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if ns else _NEVER


def alertmanager(note: Notification, service: str, _key: str) -> dict[str, Any]:
    """Webhook payload, version 4, with one alert."""
    status = "firing" if note.firing else "resolved"
    labels = {"alertname": note.name, "field": note.field, "severity": note.severity, "service": service}
    alert = {
        "status": status,
        "labels": labels,
        "annotations": {"summary": note.summary},
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
            "custom_details": {"alertname": note.name, "field": note.field, "severity": note.severity},
        },
    }


def slack(note: Notification, service: str, _key: str) -> dict[str, Any]:
    """Incoming webhook: text for people, metadata for machines."""
    status = "firing" if note.firing else "resolved"
    subject = f"{note.name} ({note.field})" if note.field else note.name
    text = f"[{status.upper()}] {subject} on {service}: {note.summary}"
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


FORMATS: Final[Mapping[str, Format]] = {"alertmanager": alertmanager, "pagerduty": pagerduty, "slack": slack}

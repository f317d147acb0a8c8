"""Alert payloads → alert records, one function per format; the target file says which label names what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from simulator.history.schema import AlertRecord
from simulator.targets.model import Match


def parse(route: str, body: bytes, at_ns: int, match: Match) -> list[AlertRecord]:
    """Records of one notification. Raises ValueError with the reason if it cannot be read."""
    try:
        return _FORMATS[route](msgspec.json.decode(body), at_ns, match)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"unreadable {route} notification: {type(error).__name__}: {error}") from error


def _record(
    route: str, at_ns: int, match: Match, labels: Mapping[str, Any], fingerprint: str, *, firing: bool
) -> AlertRecord:
    return AlertRecord(
        at_ns,
        route,
        fingerprint,
        str(labels[match.name]),
        str(labels.get(match.field, "")),
        str(labels.get(match.severity, "")),
        firing,
    )


def _alertmanager(payload: dict[str, Any], at_ns: int, match: Match) -> list[AlertRecord]:
    return [
        _record("alertmanager", at_ns, match, a["labels"], str(a["fingerprint"]), firing=a["status"] == "firing")
        for a in payload["alerts"]
    ]


def _pagerduty(payload: dict[str, Any], at_ns: int, match: Match) -> list[AlertRecord]:
    details = payload["payload"]["custom_details"]
    firing = payload["event_action"] == "trigger"
    return [_record("pagerduty", at_ns, match, details, str(payload["dedup_key"]), firing=firing)]


def _slack(payload: dict[str, Any], at_ns: int, match: Match) -> list[AlertRecord]:
    event = payload["metadata"]["event_payload"]
    return [_record("slack", at_ns, match, event, str(event["fingerprint"]), firing=event["status"] == "firing")]


_FORMATS: Final[dict[str, Callable[[Any, int, Match], list[AlertRecord]]]] = {
    "alertmanager": _alertmanager,
    "pagerduty": _pagerduty,
    "slack": _slack,
}

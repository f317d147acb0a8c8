"""JSON Schemas of what each receiver takes, written from their public documentation."""

from __future__ import annotations

TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"}
STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}
LABELS = STRINGS | {"required": ["alertname"], "propertyNames": {"pattern": "^[a-zA-Z_][a-zA-Z0-9_]*$"}}

# POST /api/v2/alerts: `postableAlerts` of Alertmanager's OpenAPI description.
ALERTMANAGER_V2 = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "required": ["labels"],
        "additionalProperties": False,
        "properties": {
            "labels": LABELS | {"additionalProperties": {"type": "string", "minLength": 1}},
            "annotations": STRINGS,
            "startsAt": TIME,
            "endsAt": TIME,
            "generatorURL": {"type": "string", "format": "uri"},
        },
    },
}

# The webhook's payload, version 4.
ALERTMANAGER = {
    "type": "object",
    "required": ["version", "groupKey", "status", "receiver", "groupLabels", "commonLabels", "alerts"],
    "properties": {
        "version": {"const": "4"},
        "status": {"enum": ["firing", "resolved"]},
        "receiver": {"type": "string"},
        "groupKey": {"type": "string"},
        "groupLabels": STRINGS,
        "commonLabels": STRINGS,
        "commonAnnotations": STRINGS,
        "alerts": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["status", "labels", "annotations", "startsAt", "endsAt", "fingerprint"],
                "additionalProperties": False,
                "properties": {
                    "status": {"enum": ["firing", "resolved"]},
                    "labels": LABELS,
                    "annotations": STRINGS,
                    "startsAt": TIME,
                    "endsAt": TIME,
                    "fingerprint": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
                },
            },
        },
    },
}

# PD-CEF of the Events API v2.
PAGERDUTY = {
    "type": "object",
    "required": ["routing_key", "event_action", "dedup_key", "payload"],
    "additionalProperties": False,
    "properties": {
        "routing_key": {"type": "string", "minLength": 1},
        "event_action": {"enum": ["trigger", "acknowledge", "resolve"]},
        "dedup_key": {"type": "string", "minLength": 1, "maxLength": 255},
        "payload": {
            "type": "object",
            "required": ["summary", "source", "severity"],
            "additionalProperties": False,
            "properties": {
                "summary": {"type": "string", "minLength": 1, "maxLength": 1024},
                "source": {"type": "string", "minLength": 1},
                "severity": {"enum": ["critical", "error", "warning", "info"]},
                "timestamp": TIME,
                "component": {"type": "string"},
                "group": {"type": "string"},
                "class": {"type": "string"},
                "custom_details": {"type": "object"},
            },
        },
        "links": {
            "type": "array",
            "items": {"type": "object", "required": ["href"], "properties": {"href": {"type": "string"}}},
        },
        "client": {"type": "string"},
    },
}

# An incoming webhook's message: text, section blocks, and message metadata.
SLACK = {
    "type": "object",
    "required": ["text"],
    "additionalProperties": False,
    "properties": {
        "text": {"type": "string", "minLength": 1, "maxLength": 40_000},
        "blocks": {
            "type": "array",
            "maxItems": 50,
            "items": {
                "type": "object",
                "required": ["type", "text"],
                "properties": {
                    "type": {"const": "section"},
                    "text": {
                        "type": "object",
                        "required": ["type", "text"],
                        "additionalProperties": False,
                        "properties": {
                            "type": {"enum": ["mrkdwn", "plain_text"]},
                            "text": {"type": "string", "minLength": 1, "maxLength": 3000},
                        },
                    },
                },
            },
        },
        "metadata": {
            "type": "object",
            "required": ["event_type", "event_payload"],
            "additionalProperties": False,
            "properties": {
                "event_type": {"type": "string", "minLength": 1},
                "event_payload": {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}},
            },
        },
    },
}

SCHEMAS = {
    "alertmanager": ALERTMANAGER,
    "alertmanager_v2": ALERTMANAGER_V2,
    "pagerduty": PAGERDUTY,
    "slack": SLACK,
}

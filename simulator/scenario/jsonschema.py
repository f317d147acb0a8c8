"""The JSON Schema of scenario files, for editors: completion, hover texts, red underlines while typing.

Generated from the models, so it cannot know more than they do. Editors read draft-07; pydantic writes 2020-12,
hence the translation. ``python -m simulator.scenario.jsonschema`` writes the committed file anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from simulator.scenario.model import FAMILIES, Scenario
from simulator.scenario.quantities import show_duration
from simulator.scenario.verbs import VERBS

COMMITTED: Final = Path(__file__).with_name("scenario.schema.json")

_FILLED_IN: Final = {"$ref": "#/definitions/MatrixValue"}
_ANY_TEXT: Final = {"type": "string"}  # takes `$name` as it is
_SCALARS: Final = frozenset({"string", "number", "integer", "boolean"})
_TEXTS: Final = frozenset({"title", "description", "examples", "default"})  # say something and check nothing
_AS_WRITTEN: Final = frozenset({"matrix", "seatrial"})  # no parameter can stand there

# Mappings of which exactly one key of a group must be there: what the models check after the fact.
_ONE_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "Event": VERBS,
    "Expectation": FAMILIES,
    "Steady": ("error_rate", "latency", "no_alert"),
    "Latency": ("p50", "p90", "p95", "p99"),
    "Drift": ("shift", "category"),
}
# Keys that mean the same wherever they stand. What a definition says of itself comes first.
_KEYS: Final[Mapping[str, str]] = {
    "Add.field": "a name that the population does not send",
    "AlertIs.field": "the field that the alert is about",
    "AlertIs.severity": "as the target names it, such as page",
    "Quality.within": "the difference that is allowed",
    "Release.share": "share of the traffic that a canary takes",
    "at": "from the start of the run",
    "for": "how long",
    "event": "name by which expectations refer to this event",
    "id": "name of this expectation, in reports and for `resolved` and `at`",
    "field": "a field of the population",
    "share": "share of the matching rows (or calls) that are touched",
    "where": "only rows whose fields equal these values",
    "within": "deadline, from the start (or end) of the event",
    "during": "event: from its start to its end",
    "outside": "event: before it, and from `settle` after its end",
    "settle": "time that the service is given before it is judged",
    "hold": "for how long it must stay so",
    "once": "exactly one episode",
    "stands": "it fires until the event has ended",
    "Expectation.severity": "gate: decides the exit code; warn: is only shown",
    "guards": "safeguard that, switched off, must turn this red",
    "rate": "requests per unit of time",
    "replay": "recorded traffic instead of a rate",
    "seed": "of every draw; the same seed gives the same run",
    "because": "the incident that this scenario comes from",
    "warmup": "before the first event; its second half is judged by `steady_state`",
    "matrix": "parameters: one run for each combination; `$name` stands for the value",
    "max": "upper limit",
    "min": "lower limit",
}


def schema() -> dict[str, Any]:
    """The schema as plain data."""
    made = Scenario.model_json_schema(by_alias=True)
    definitions = {name: _mapping(name, part) for name, part in sorted(made.pop("$defs").items())}
    definitions["MatrixValue"] = {
        "type": "string",
        "pattern": r"^\$[A-Za-z_][A-Za-z0-9_]*$",
        "description": "a parameter of the matrix",
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        **_mapping("Scenario", made),
        "title": "seatrial scenario",
        "definitions": definitions,
    }


def text() -> str:
    """The schema as the committed file holds it."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def _mapping(name: str, part: dict[str, Any]) -> dict[str, Any]:
    """One model: its keys, and how many of which group there must be."""
    made = {key: value for key, value in part.items() if key not in {"properties", "title"}}
    if "description" in made:
        made["description"] = " ".join(made["description"].split())
    made["properties"] = {key: _property(name, key, value) for key, value in part.get("properties", {}).items()}
    if name in _ONE_OF:
        made["oneOf"] = [{"required": [key]} for key in _ONE_OF[name]]
    if name == "Traffic":
        recorded = {"required": ["replay"], "not": {"anyOf": [{"required": ["rate"]}, {"required": ["for"]}]}}
        made["oneOf"] = [{"required": ["rate", "for"], "not": {"required": ["replay"]}}, recorded]
    return made


def _property(owner: str, key: str, part: dict[str, Any]) -> dict[str, Any]:
    texts = _texts(part)
    if said := _KEYS.get(f"{owner}.{key}", _KEYS.get(key)):
        texts.setdefault("description", said)
    made = _draft7({name: value for name, value in part.items() if name not in _TEXTS}, fill_in=key not in _AS_WRITTEN)
    if "$ref" in made and texts:
        made = {"allOf": [made]}  # draft-07 ignores whatever stands beside a $ref
    return {**made, **texts}


def _texts(part: Mapping[str, Any]) -> dict[str, Any]:
    """What editors show of a key. Durations are spelled; a default that is a mapping says nothing."""
    texts = {key: part[key] for key in ("description", "examples") if key in part}
    default = part.get("default")
    if default not in (None, "", [], {}) and not isinstance(default, dict):
        texts["default"] = show_duration(default) if part.get("type") == ["string", "integer"] else default
    return texts


def _draft7(part: dict[str, Any], *, fill_in: bool) -> dict[str, Any]:
    """Translate 2020-12 to draft-07, drop null, and let `$name` stand for any scalar."""
    if _is_scalar(part):
        return {"anyOf": [part, _FILLED_IN]} if fill_in and part != _ANY_TEXT else part
    if "anyOf" in part:
        choices = [_bare(choice) for choice in part["anyOf"] if choice != {"type": "null"}]
        if len(choices) == 1:
            return _draft7(choices[0], fill_in=fill_in)
        scalar = any(map(_is_scalar, choices)) and _ANY_TEXT not in choices
        made = [
            _draft7(choice, fill_in=False) if _is_scalar(choice) else _draft7(choice, fill_in=fill_in)
            for choice in choices
        ]
        return {"anyOf": [*made, _FILLED_IN] if fill_in and scalar else made}
    made_part: dict[str, Any] = {}
    for key, value in part.items():
        if key == "$ref":
            made_part[key] = value.replace("#/$defs/", "#/definitions/")
        elif key == "items" or (key == "additionalProperties" and isinstance(value, dict)):
            made_part[key] = _draft7(_bare(value), fill_in=fill_in)
        elif key == "patternProperties":
            made_part[key] = {name: _draft7(_bare(inner), fill_in=fill_in) for name, inner in value.items()}
            made_part["additionalProperties"] = False
        elif key == "prefixItems":
            made_part["items"] = [_draft7(_bare(item), fill_in=fill_in) for item in value]
        else:
            made_part[key] = value
    return made_part


def _bare(part: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in part.items() if key not in _TEXTS}


def _is_scalar(part: Mapping[str, Any]) -> bool:
    kinds = part.get("type")
    named = {kinds} if isinstance(kinds, str) else set(kinds or ())
    return "const" in part or "enum" in part or (bool(named) and named <= _SCALARS)


def main() -> None:
    """Write the committed file."""
    COMMITTED.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()

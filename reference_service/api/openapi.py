"""The service's own description, OpenAPI 3.1: made of the contract and of the table of routes, so that it is true.

What the contract says of a field (name, type, range, categories) is in the schema of an inference, with an example that
is answered. `tests/unit/reference_service/ops/test_openapi.py` holds what is described against real replies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from reference_service.api.oip import OUTPUTS
from reference_service.contract import Contract, Field

_DATATYPES: Final = {"number": "FP64", "integer": "INT64", "boolean": "BOOL", "category": "BYTES"}
_TYPES: Final = {"number": "number", "integer": "integer", "boolean": "boolean", "category": "string"}
_SAID: Final = {
    200: "As asked.",
    202: "Accepted.",
    400: "Not JSON, or not what this path takes.",
    401: "The control plane's token is missing or wrong.",
    404: "No such thing.",
    409: "Not now, or not here: in progress, or refused by the state of releases or workers.",
    410: "It has been deleted since.",
    413: "Too large.",
    415: "An encoding that is not served.",
    422: "The contract is violated, or a key stands for another request.",
    429: "More requests than can be answered in time; Retry-After says when to come back.",
    503: "Cannot answer now.",
    504: "Not answered in time.",
}
_INFERENCE: Final = (200, 400, 404, 409, 413, 415, 422, 429, 503, 504)
# What beside 200 (GET) or 202 (POST) a path of the control plane may say.
_REFUSALS: Final = {"GET": (400, 401, 404, 409, 410, 503), "POST": (400, 401, 404, 409, 413)}
_PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "description": "RFC 9457. Names fields and reasons; never a value, never the inside of the service.",
    "required": ["type", "title", "status", "detail", "errors"],
    "properties": {
        "type": {"const": "about:blank"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "error": {"type": "string", "description": "The same in one line, as the Open Inference Protocol has it."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "row": {"type": ["integer", "null"]},
                    "field": {"type": "string"},
                    "reason": {"type": "string"},
                },
            },
        },
    },
}


def document(
    contract: Contract, operations: Mapping[tuple[str, str], str], bodies: Mapping[str, type]
) -> dict[str, Any]:
    """The whole description.

    Args:
        contract: of the model that serves.
        operations: (method, path) → what it does, in a line; apart from inference.
        bodies: path → the type of what is posted there.
    """
    _, schemas = msgspec.json.schema_components(bodies.values(), ref_template="#/components/schemas/{name}")
    paths: dict[str, dict[str, Any]] = {f"/v2/models/{contract.model}/infer": {"post": _inference()}}
    for (method, path), summary in sorted(operations.items()):
        body = bodies.get(path) if method == "POST" else None
        paths.setdefault(path, {})[method.lower()] = _operation(method, path, summary, body)
    return {
        "openapi": "3.1.0",
        "info": {"title": contract.model, "version": contract.version},
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {**schemas, "Problem": _PROBLEM, "Request": _request(contract), "Answer": _answer(contract)},
        },
    }


def example(contract: Contract, request_id: str = "example") -> dict[str, Any]:
    """A request of one row that the contract allows, as a caller would write it."""
    who = _tensor(contract.entity, _entity(contract), [1 if contract.entity_kind == "integer" else "somebody"])
    fields = [field for field in _asked(contract) if field.name != contract.entity]
    return {"id": request_id, "inputs": [who, *(_tensor(f.name, _DATATYPES[f.kind], [_value(f)]) for f in fields)]}


def _tensor(name: str, datatype: str, data: list[Any]) -> dict[str, Any]:
    return {"name": name, "shape": [len(data)], "datatype": datatype, "data": data}


def _asked(contract: Contract) -> list[Field]:
    return [field for field in contract.fields if field.origin == "request"]


def _entity(contract: Contract) -> str:
    return "INT64" if contract.entity_kind == "integer" else "BYTES"


def _value(field: Field) -> Any:
    if field.kind == "category":
        return field.categories[0]
    if field.kind == "boolean":
        return False
    low = 0.0 if field.minimum is None else field.minimum
    middle = low + 1.0 if field.maximum is None else (low + field.maximum) / 2
    return int(middle) if field.kind == "integer" else middle


# ---------------------------------------------------------------- operations


def _inference() -> dict[str, Any]:
    return {
        "summary": "Score rows: one tensor a column, one element a row.",
        "parameters": [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "Asked again under the same key, the first answer comes again.",
                "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
            }
        ],
        "requestBody": _posted("Request"),
        "responses": {str(status): _response(status, "Answer") for status in _INFERENCE},
    }


def _operation(method: str, path: str, summary: str, body: type | None) -> dict[str, Any]:
    guarded = path.startswith("/v1/")
    good = 202 if method == "POST" else 200
    statuses = (good, *(_REFUSALS[method] if guarded else (503,) if path.endswith("/ready") else ()))
    operation: dict[str, Any] = {"summary": summary}
    if guarded:
        operation["security"] = [{"token": []}]
    if body is not None:
        operation["requestBody"] = _posted(body.__name__)
    operation["responses"] = {str(status): _response(status, None, ready=not guarded) for status in statuses}
    return operation


def _posted(schema: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"required": True, "content": content}


def _response(status: int, schema: str | None, *, ready: bool = False) -> dict[str, Any]:
    if status < 400:  # noqa: PLR2004 - HTTP's first error
        found: dict[str, Any] = {"description": _SAID[status]}
        if schema is not None:
            found["content"] = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
        return found
    if ready:  # what is not ready says so in the protocol's own words
        return {"description": "Not ready."}
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": _SAID[status], "content": content}


# ---------------------------------------------------------------- schemas


def _request(contract: Contract) -> dict[str, Any]:
    columns = [_column(field) for field in _asked(contract)]
    if contract.entity not in {field.name for field in _asked(contract)}:
        kind = "integer" if contract.entity_kind == "integer" else "string"
        columns.insert(0, _named(contract.entity, _entity(contract), {"type": kind}))
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "inputs": {"type": "array", "minItems": 1, "items": {"anyOf": columns}},
            "outputs": {
                "type": "array",
                "items": {"type": "object", "required": ["name"], "properties": {"name": {"enum": list(OUTPUTS)}}},
            },
        },
        "examples": [example(contract)],
    }


def _column(field: Field) -> dict[str, Any]:
    element: dict[str, Any] = {"type": _TYPES[field.kind]}
    if field.minimum is not None:
        element["minimum"] = field.minimum
    if field.maximum is not None:
        element["maximum"] = field.maximum
    if field.categories:
        element["enum"] = list(field.categories)
    named = _named(field.name, _DATATYPES[field.kind], element)
    if field.unit:
        named["description"] = f"in {field.unit}"
    return named


def _named(name: str, datatype: str, element: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["name", "data"],
        "properties": {
            "name": {"const": name},
            "datatype": {"const": datatype},
            "shape": {"type": "array", "items": {"type": "integer"}},
            "data": {"type": "array", "items": element},
        },
    }


def _answer(contract: Contract) -> dict[str, Any]:
    kinds: dict[str, dict[str, Any]] = {"FP64": {"type": ["number", "null"]}, "BYTES": {"type": "string"}}
    outputs = [_named(name, datatype, kinds[datatype]) for name, datatype in OUTPUTS.items()]
    return {
        "type": "object",
        "required": ["model_name", "model_version", "id", "parameters", "outputs"],
        "properties": {
            "model_name": {"const": contract.model},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "parameters": {"type": "object", "required": ["bundle"], "properties": {"bundle": {"type": "string"}}},
            "outputs": {"type": "array", "items": {"anyOf": outputs}},
        },
    }

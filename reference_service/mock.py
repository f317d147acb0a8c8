"""A stand-in for callers' own tests: it knows the contract and no model, and every answer says that it is a mock.

What the contract refuses is refused, with the same problem documents; the score of a row is a number drawn by its
values and the seed, so that a test that ran yesterday runs today.
"""

from __future__ import annotations

import math
from hashlib import blake2b
from typing import Any, Final

import msgspec

from reference_service.api.oip import Malformed, Replies, decode, problem
from reference_service.api.openapi import document
from reference_service.contract import Contract, Field
from reference_service.validation import Problem, Row

_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "number": (int, float), "integer": (int,), "boolean": (bool,), "category": (str,),
}  # fmt: skip
_JSON: Final = "application/json"
_PROBLEM: Final = "application/problem+json"
_SUMMARIES: Final = {
    ("GET", "/v2/health/ready"): "The mock answers.",
    ("GET", "/openapi.json"): "This description.",
}


class Mock:
    """Requests in, answers out; whoever serves it has the sockets.

    Args:
        contract: of the model that is stood in for.
        seed: another seed, other scores.
    """

    def __init__(self, contract: Contract, seed: int = 0) -> None:
        self._contract = contract
        self._seed = seed.to_bytes(8, "little", signed=True)
        self._asked = [field for field in contract.fields if field.origin == "request"]
        self._replies = Replies(contract.model, contract.version, "mock")
        self._infer = f"/v2/models/{contract.model}/infer"

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, str, bytes]:
        """Status, media type and body."""
        if (method, path) == ("POST", self._infer):
            return self._score(body)
        if (method, path) == ("GET", "/openapi.json"):
            return 200, _JSON, msgspec.json.encode(document(self._contract, _SUMMARIES, {}))
        if (method, path) == ("GET", "/v2/health/ready"):
            return 200, _JSON, b'{"ready":true}'
        return 404, _PROBLEM, problem(404, "Not found", "no such resource")

    def _score(self, body: bytes) -> tuple[int, str, bytes]:
        try:
            request = decode(body)
        except Malformed:
            return 400, _PROBLEM, problem(400, "Malformed request", "the body is not an inference request in JSON")
        columns = {tensor.name: tensor.data for tensor in request.inputs}
        lengths = {len(data) for data in columns.values()}
        who = self._contract.entity
        if len(lengths) != 1 or who not in columns:
            errors = [] if who in columns else [Problem(None, who, "missing")]
            why = "the request's columns do not fit together"
            return 422, _PROBLEM, problem(422, "Contract violation", why, errors)
        rows = [self._row(columns, index) for index in range(lengths.pop())]
        errors = [error for row in rows for error in row.problems]
        if all(row.problems for row in rows):
            return 422, _PROBLEM, problem(422, "Contract violation", "no row of the request can be answered", errors)
        return 200, _JSON, self._replies.many(request, rows)

    def _row(self, columns: dict[str, list[Any]], index: int) -> Row:
        row = Row(index, [], [], columns[self._contract.entity][index])
        values = {field.name: _value(field, columns, index) for field in self._asked}
        for field in self._asked:
            reason = _breach(field, values[field.name])
            if reason:
                row.problems.append(Problem(index, field.name, reason))
        if row.problems:
            row.source, row.reasons = "rejected", [f"{error.reason}:{error.field}" for error in row.problems]
            return row
        drawn = blake2b(msgspec.json.encode([row.entity, values]), digest_size=8, key=self._seed).digest()
        row.score = int.from_bytes(drawn, "big") / 2**64
        row.decision, row.source, row.reasons = "mock", "mock", ["mock"]
        return row


def _value(field: Field, columns: dict[str, list[Any]], index: int) -> Any:
    """What the request says of a field, by its name or an alias; None if it says nothing."""
    return next((columns[name][index] for name in (field.name, *field.aliases) if name in columns), None)


def _breach(field: Field, value: Any) -> str:
    """Why the contract refuses a value; empty: it does not. What has a default, or may be null, is not refused."""
    if value is None:
        return "null" if field.on_null == "reject" else ""
    if field.on_invalid != "reject":
        return ""
    if not isinstance(value, _TYPES[field.kind]) or (isinstance(value, bool) and field.kind != "boolean"):
        return "type"
    if not isinstance(value, int | float):
        return "unseen" if value not in field.categories and field.on_unseen == "reject" else ""
    low = -math.inf if field.minimum is None else field.minimum
    high = math.inf if field.maximum is None else field.maximum
    return "" if low <= value <= high else "range"

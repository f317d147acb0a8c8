"""Protocols of one JSON document a request: MLflow's scoring server, TensorFlow Serving, plain JSON.

Each is a function from rows, as clients send them, to the document; replies are read by paths.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from simulator.history.schema import Outcome, Source
from simulator.plan import Chunk
from simulator.targets.model import Target
from simulator.targets.protocol import Reply
from simulator.targets.rows import JSON, SOURCES, outcome_of, record, spans
from simulator.world.population import Field

Rows = Sequence[Mapping[str, Any]]


def names(rows: Rows) -> list[str]:
    """Every key that any of the rows has, in order of first appearance."""
    return list(dict.fromkeys(name for row in rows for name in row))


def split(rows: Rows) -> dict[str, Any]:
    """MLflow's ``dataframe_split``; a key that only some rows have is null in the others."""
    columns = names(rows)
    return {"dataframe_split": {"columns": columns, "data": [[row.get(k) for k in columns] for row in rows]}}


def by_row(rows: Rows) -> dict[str, Any]:
    """TensorFlow Serving's row format: one object of named scalars a row."""
    return {"instances": [dict(row) for row in rows]}


def by_column(rows: Rows) -> dict[str, Any]:
    """TensorFlow Serving's columnar format: one list a name; a key that only some rows have is null in the others."""
    return {"inputs": {name: [row.get(name) for row in rows] for name in names(rows)}}


def plain(rows: Rows) -> Any:
    """One row as an object, several as a list of objects."""
    return dict(rows[0]) if len(rows) == 1 else [dict(row) for row in rows]


_DEFAULT_PATH: Final = {"mlflow": "/invocations", "tf-serving": "/v1/models/{model}:predict", "json": "/predict"}


def document_of(target: Target) -> Callable[[Rows], Any]:
    """The function that makes this target's requests.

    TensorFlow Serving answers ``inputs`` with ``outputs`` and ``instances`` with ``predictions``: where the score is
    read says which of the two is sent.
    """
    if target.protocol == "tf-serving":
        return by_column if target.read.score.startswith("$.outputs") else by_row
    return split if target.protocol == "mlflow" else plain


def follow(path: str, document: Any) -> Any:
    """``$.a.b[0]`` in a decoded document; ``[*]`` is a list of what follows it, one for each item.

    Raises KeyError, IndexError or TypeError if it is not there.
    """
    before, each, rest = path.partition("[*]")
    value = document
    for part in before.removeprefix("$").replace("[", ".[").split("."):
        if part.startswith("["):
            value = value[int(part[1:-1])]
        elif part:
            value = value[part]
    return [follow(rest, item) for item in value] if each else value


class Documents:
    """The codec of all of them, bound to one target."""

    headers: tuple[tuple[bytes, bytes], ...] = JSON

    def __init__(self, target: Target, fields: Sequence[Field]) -> None:
        self.path = target.path or _DEFAULT_PATH[target.protocol].format(model=target.model)
        self._target = target
        self._fields = tuple(fields)
        self._document = document_of(target)

    def encode(self, chunk: Chunk) -> list[bytes]:
        """One document per request of the chunk, in order."""
        requests = [[record(chunk, i, self._fields) for i in range(first, last)] for first, last in spans(chunk)]
        return [json.dumps(self._document(rows), separators=(",", ":")).encode() for rows in requests]

    def decode(self, status: int, body: bytes, rows: int) -> Reply:
        """Scores (and what else is mapped) by path; a bare NaN token is not JSON and makes the reply unparseable."""
        outcome = outcome_of(status, self._target)
        if outcome is not Outcome.OK:
            return Reply(outcome)
        read = self._target.read
        try:
            document = msgspec.json.decode(body)
            scores = _listed(follow(read.score, document))
            if len(scores) != rows:
                return Reply(Outcome.UNPARSEABLE)
            return Reply(
                Outcome.OK,
                str(follow(read.version, document)) if read.version else "",
                tuple(_number(s) for s in scores),
                tuple(map(str, _listed(follow(read.decision, document)))) if read.decision else (),
                tuple(SOURCES.get(s, Source.NONE) for s in _listed(follow(read.source, document)))
                if read.source
                else (),
                tuple(map(str, _listed(follow(read.reasons, document)))) if read.reasons else (),
            )
        except (msgspec.MsgspecError, KeyError, IndexError, TypeError, ValueError):
            return Reply(Outcome.UNPARSEABLE)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _number(value: Any) -> float:
    """A score; also one in a list of its own, as a layer of one unit gives it."""
    if isinstance(value, list) and len(value) == 1:
        return _number(value[0])
    return math.nan if value is None else float(value)

"""Wire protocols: plan rows → request bodies, replies → outcomes.

Whole chunks are encoded column by column: literals are rendered once per column, rows are joined by a
template. Rows whose representation a disturbance changed take a slower road through plain records.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import msgspec
import numpy as np

from simulator.history.schema import Outcome, Source
from simulator.plan import Chunk
from simulator.targets.model import Target
from simulator.targets.protocol import Codec, Reply
from simulator.world.population import Field

_JSON: Final = ((b"content-type", b"application/json"),)
_SOURCES: Final = {
    "model": Source.MODEL,
    "cache": Source.CACHE,
    "default": Source.DEFAULT,
    "fallback": Source.FALLBACK,
    "rejected": Source.REJECTED,
}
# The same for replies of one row, ready made.
_SOURCE_OF_ONE: Final = {(name,): (source,) for name, source in _SOURCES.items()}
_NO_SOURCE: Final = (Source.NONE,)
_NO_SCORE: Final = (math.nan,)
_DATATYPE: Final = {"number": "FP64", "integer": "INT64", "boolean": "BOOL", "category": "BYTES"}


def codec(target: Target, fields: Sequence[Field]) -> Codec:
    """The codec of the target's protocol for a population's fields."""
    kinds: dict[str, Callable[[Target, Sequence[Field]], Codec]] = {
        "oip-v2": OipV2,
        "mlflow": MlflowSplit,
        "json": JsonRows,
    }
    return kinds[target.protocol](target, fields)


def request_ids(chunk: Chunk, firsts: list[int]) -> list[str]:
    """The ids under which requests are sent and their labels come back: ``main-12``, a duplicate ``main-12~1``.

    `firsts` are the positions of their first rows in the chunk.
    """
    columns = (column[firsts].tolist() for column in (chunk.stream, chunk.index, chunk.copy))
    return [f"{stream}-{index}~{copy}" if copy else f"{stream}-{index}" for stream, index, copy in zip(*columns)]  # noqa: B905 - one chunk


def literals(column: np.ndarray, kind: str) -> list[bytes]:
    """One JSON literal per value of a column; null for NaN and None."""
    if column.dtype == object:
        known: dict[Any, bytes] = {}
        out = []
        for value in column.tolist():
            literal = known.get(value)
            if literal is None:
                literal = known[value] = msgspec.json.encode(value)
            out.append(literal)
        return out
    values: list[Any]
    if kind == "number":
        values = column.tolist()  # msgspec writes NaN as null
    else:
        cast: Callable[[float], object] = bool if kind == "boolean" else int
        values = [None if math.isnan(v) else cast(v) for v in column.tolist()]
    return msgspec.json.encode(values)[1:-1].split(b",") if values else []


def record(chunk: Chunk, i: int, fields: Sequence[Field]) -> dict[str, Any]:
    """Row i as clients send it: the override if there is one, else one key per field."""
    if i in chunk.overrides:
        return chunk.overrides[i]
    return {f.name: _plain(chunk.sent[f.name][i], f.kind) for f in fields}


def _plain(value: Any, kind: str) -> Any:
    if value is None or isinstance(value, str):
        return value
    if math.isnan(value):
        return None
    return float(value) if kind == "number" else bool(value) if kind == "boolean" else int(value)


def spans(chunk: Chunk) -> list[tuple[int, int]]:
    """[first, last) item positions of each request in the chunk."""
    starts = np.flatnonzero(np.diff(chunk.request, prepend=-1)).tolist()
    return list(zip(starts, [*starts[1:], len(chunk)], strict=True))


def _outcome(status: int, target: Target) -> Outcome:
    if status in target.errors.reject:
        return Outcome.REJECT
    if status in target.errors.shed:
        return Outcome.SHED
    return Outcome.OK if 200 <= status < 300 else Outcome.ERROR  # noqa: PLR2004 - HTTP's success range


class _Tensor(msgspec.Struct, gc=False):
    name: str
    data: list[Any]


class _OipReply(msgspec.Struct, gc=False):
    outputs: list[_Tensor]
    model_version: str = ""


def _usual(target: Target) -> Callable[[bytes], Any] | None:
    """A decoder of one-row replies whose tensors are score, decision, source and reasons, in this order.

    It checks names and lengths while it decodes. Most replies are like this; None if the target does not map them all.
    """
    read = target.read
    if not (read.decision and read.source and read.reasons):
        return None
    columns = [(read.score, float | None), (read.decision, str), (read.source, str), (read.reasons, str)]
    tensors = [
        msgspec.defstruct("Tensor", [("name", Literal[name]), ("data", tuple[kind])], gc=False)  # type: ignore[valid-type]
        for name, kind in columns
    ]
    fields: list[Any] = [("outputs", tuple[tuple(tensors)]), ("model_version", str, "")]  # type: ignore[misc]
    return msgspec.json.Decoder(msgspec.defstruct("Usual", fields, gc=False)).decode


class OipV2:
    """Open Inference Protocol v2 over REST: one named tensor per field, n rows each."""

    headers: tuple[tuple[bytes, bytes], ...] = _JSON

    def __init__(self, target: Target, fields: Sequence[Field]) -> None:
        self.path = target.path or f"/v2/models/{target.model}/infer"
        self._target = target
        self._fields = tuple(fields)
        self._datatypes = {f.name: _DATATYPE[f.kind].encode() for f in fields}
        self._decode = msgspec.json.Decoder(_OipReply).decode
        tensors = ",".join(
            f'{{"name":{json.dumps(f.name)},"shape":[%d],"datatype":"{_DATATYPE[f.kind]}","data":[%b]}}' for f in fields
        )
        self._one = ('{"id":"%b","inputs":[' + tensors.replace("%d", "1") + "]}").encode().split(b"%b")
        self._many = ('{"id":"%b","inputs":[' + tensors + "]}").encode()
        read = target.read
        self._score, self._decision, self._source, self._reasons = read.score, read.decision, read.source, read.reasons
        self._usual = _usual(target)
        self._good = 200 if _outcome(200, target) is Outcome.OK else None

    def encode(self, chunk: Chunk) -> list[bytes]:
        """One body per request of the chunk, in order."""
        columns = [literals(chunk.sent[f.name], f.kind) for f in self._fields]
        where = spans(chunk)
        ids = [name.encode() for name in request_ids(chunk, [first for first, _ in where])]
        if len(where) == len(chunk):
            # Joining is a third faster than formatting with 16 arguments.
            parts: list[bytes] = [b""] * (2 * len(self._one) - 1)
            parts[::2] = self._one
            bodies = []
            for row in zip(ids, *columns, strict=True):
                parts[1::2] = row
                bodies.append(b"".join(parts))
        else:
            bodies = [
                self._many % (name, *(part for c in columns for part in (last - first, b",".join(c[first:last]))))
                for name, (first, last) in zip(ids, where, strict=True)
            ]
        if chunk.overrides:
            request_of = {i: r for r, (first, last) in enumerate(where) for i in range(first, last)}
            for r in sorted({request_of[i] for i in chunk.overrides}):
                rows = [record(chunk, i, self._fields) for i in range(*where[r])]
                bodies[r] = self.encode_records(ids[r].decode(), rows)
        return bodies

    def encode_records(self, name: str, rows: list[dict[str, Any]]) -> bytes:
        """The slow road: any records, tensors in order of first appearance, absent keys as null beside present ones."""
        parts = []
        for key in rows[0] if len(rows) == 1 else dict.fromkeys(key for row in rows for key in row):
            data = [row.get(key) for row in rows]
            head = b'{"name":%b,"shape":[%d],"datatype":"%b","data":[' % (
                msgspec.json.encode(key), len(rows), _datatype(data, self._datatypes.get(key)),
            )  # fmt: skip
            parts.append(head + b",".join([_literal(value) for value in data]) + b"]}")
        return b'{"id":%b,"inputs":[%b]}' % (msgspec.json.encode(name), b",".join(parts))

    def decode(self, status: int, body: bytes, rows: int) -> Reply:
        """Scores, decisions, sources and reasons from the named output tensors."""
        if status == self._good and rows == 1 and self._usual is not None:
            try:
                usual = self._usual(body)
            except ValueError:
                pass  # not that kind of reply, or none at all
            else:
                score, decision, source, reasons = usual.outputs
                scores = score.data if score.data[0] is not None else _NO_SCORE
                sources = _SOURCE_OF_ONE.get(source.data, _NO_SOURCE)
                return Reply(Outcome.OK, usual.model_version, scores, decision.data, sources, reasons.data)
        outcome = _outcome(status, self._target)
        if outcome is not Outcome.OK:
            return Reply(outcome)
        try:
            reply = self._decode(body)
            outputs = {t.name: t.data for t in reply.outputs}
            found = outputs[self._score]
            if len(found) != rows:
                return Reply(Outcome.UNPARSEABLE)
            return Reply(
                Outcome.OK,
                reply.model_version,
                tuple([math.nan if s is None else float(s) for s in found]),
                tuple(outputs[self._decision]) if self._decision else (),
                tuple([_SOURCES.get(s, Source.NONE) for s in outputs[self._source]]) if self._source else (),
                tuple(outputs[self._reasons]) if self._reasons else (),
            )
        except (msgspec.MsgspecError, LookupError, TypeError, ValueError):
            return Reply(Outcome.UNPARSEABLE)


def _literal(value: Any) -> bytes:
    # NaN is no JSON; clients that send it all the same send the bare token.
    return b"NaN" if isinstance(value, float) and math.isnan(value) else msgspec.json.encode(value)


_BY_VALUE: Final = {bool: b"BOOL", str: b"BYTES", list: b"BYTES", dict: b"BYTES", int: b"INT64", float: b"FP64"}


def _datatype(data: list[Any], declared: bytes | None) -> bytes:
    seen = next((v for v in data if v is not None), None)
    if seen is None:
        return declared or b"BYTES"
    by_value = _BY_VALUE[type(seen)]
    # A whole number in a float field is no change of type.
    return b"FP64" if declared == b"FP64" and by_value == b"INT64" else by_value


def follow(path: str, document: Any) -> Any:
    """``$.a.b[0]`` in a decoded document. Raises KeyError, IndexError or TypeError if it is not there."""
    value = document
    for part in path.removeprefix("$").replace("[", ".[").split("."):
        if part.startswith("["):
            value = value[int(part[1:-1])]
        elif part:
            value = value[part]
    return value


class _Rowwise:
    """What MLflow's and generic JSON's replies have in common: paths into a JSON document, one value a row."""

    headers: tuple[tuple[bytes, bytes], ...] = _JSON

    def __init__(self, target: Target, fields: Sequence[Field], path: str) -> None:
        self.path = target.path or path
        self._target = target
        self._fields = tuple(fields)

    def _requests(self, chunk: Chunk) -> list[tuple[str, list[dict[str, Any]]]]:
        where = spans(chunk)
        names = request_ids(chunk, [first for first, _ in where])
        return [
            (n, [record(chunk, i, self._fields) for i in range(first, last)])
            for n, (first, last) in zip(names, where, strict=True)
        ]

    def decode(self, status: int, body: bytes, rows: int) -> Reply:
        """Scores (and what else is mapped) by path; a bare NaN token is not JSON and makes the reply unparseable."""
        outcome = _outcome(status, self._target)
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
                tuple(math.nan if s is None else float(s) for s in scores),
                tuple(map(str, _listed(follow(read.decision, document)))) if read.decision else (),
                tuple(_SOURCES.get(s, Source.NONE) for s in _listed(follow(read.source, document)))
                if read.source
                else (),
                tuple(map(str, _listed(follow(read.reasons, document)))) if read.reasons else (),
            )
        except (msgspec.MsgspecError, KeyError, IndexError, TypeError, ValueError):
            return Reply(Outcome.UNPARSEABLE)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


class MlflowSplit(_Rowwise):
    """MLflow's scoring server: ``POST /invocations`` with ``dataframe_split``."""

    def __init__(self, target: Target, fields: Sequence[Field]) -> None:
        super().__init__(target, fields, "/invocations")

    def encode(self, chunk: Chunk) -> list[bytes]:
        """One ``dataframe_split`` per request; a missing key is a missing column if no row of the request has it."""
        bodies = []
        for _, rows in self._requests(chunk):
            names = list(dict.fromkeys(key for row in rows for key in row))
            split = {"columns": names, "data": [[row.get(k) for k in names] for row in rows]}
            bodies.append(json.dumps({"dataframe_split": split}, separators=(",", ":")).encode())
        return bodies


class JsonRows(_Rowwise):
    """Plain JSON: one row as an object, several as a list of objects."""

    def __init__(self, target: Target, fields: Sequence[Field]) -> None:
        super().__init__(target, fields, "/predict")

    def encode(self, chunk: Chunk) -> list[bytes]:
        """The record itself, or the list of records."""
        return [
            json.dumps(rows[0] if len(rows) == 1 else rows, separators=(",", ":")).encode()
            for _, rows in self._requests(chunk)
        ]

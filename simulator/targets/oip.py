"""Open Inference Protocol v2 over REST, as KServe, Triton, MLServer and the reference service speak it.

Whole chunks are encoded column by column: literals are rendered once per column, rows are joined by a
template. Rows whose representation a disturbance changed take a slower road through plain records.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import msgspec

from simulator.history.schema import Outcome, Source
from simulator.plan import Chunk
from simulator.targets.model import Target
from simulator.targets.protocol import Reply
from simulator.targets.rows import JSON, SOURCES, literals, outcome_of, record, request_ids, spans
from simulator.world.population import Field

# The same for replies of one row, ready made.
_SOURCE_OF_ONE: Final = {(name,): (source,) for name, source in SOURCES.items()}
_NO_SOURCE: Final = (Source.NONE,)
_NO_SCORE: Final = (math.nan,)


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

    headers: tuple[tuple[bytes, bytes], ...] = JSON

    def __init__(self, target: Target, fields: Sequence[Field]) -> None:
        self.path = target.path or f"/v2/models/{target.model}/infer"
        self._target = target
        self._fields = tuple(fields)
        kinds = {f.name: target.tensors.datatype(f.kind) for f in fields}
        self._datatypes = {name: kind.encode() for name, kind in kinds.items()}
        self._shape = b"[%d,1]" if target.tensors.shape == "column" else b"[%d]"
        self._decode = msgspec.json.Decoder(_OipReply).decode
        shape = self._shape.decode()
        tensors = ",".join(
            f'{{"name":{json.dumps(name)},"shape":{shape},"datatype":"{kind}","data":[%b]}}'
            for name, kind in kinds.items()
        )
        self._one = ('{"id":"%b","inputs":[' + tensors.replace("%d", "1") + "]}").encode().split(b"%b")
        self._many = ('{"id":"%b","inputs":[' + tensors + "]}").encode()
        read = target.read
        self._score, self._decision, self._source, self._reasons = read.score, read.decision, read.source, read.reasons
        self._usual = _usual(target)
        self._good = 200 if outcome_of(200, target) is Outcome.OK else None

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
            head = b'{"name":%b,"shape":%b,"datatype":"%b","data":[' % (
                msgspec.json.encode(key), self._shape % len(rows), _datatype(data, self._datatypes.get(key)),
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
        outcome = outcome_of(status, self._target)
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
                tuple([SOURCES.get(s, Source.NONE) for s in outputs[self._source]]) if self._source else (),
                tuple(outputs[self._reasons]) if self._reasons else (),
            )
        except (msgspec.MsgspecError, LookupError, TypeError, ValueError):
            return Reply(Outcome.UNPARSEABLE)


def _literal(value: Any) -> bytes:
    # NaN is no JSON; clients that send it all the same send the bare token.
    return b"NaN" if isinstance(value, float) and math.isnan(value) else msgspec.json.encode(value)


_BY_VALUE: Final = {bool: b"BOOL", str: b"BYTES", list: b"BYTES", dict: b"BYTES", int: b"INT64", float: b"FP64"}

# Declared type → types of values that are no change: a whole number in a float field, a narrower width.
_NO_CHANGE: Final = {b"FP64": (b"INT64",), b"FP32": (b"INT64", b"FP64"), b"INT32": (b"INT64",)}


def _datatype(data: list[Any], declared: bytes | None) -> bytes:
    seen = next((v for v in data if v is not None), None)
    if seen is None:
        return declared or b"BYTES"
    by_value = _BY_VALUE[type(seen)]
    return declared if declared is not None and by_value in _NO_CHANGE.get(declared, ()) else by_value

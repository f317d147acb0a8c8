"""Rows → bodies in the target's protocol, also bodies that no careful client would send."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from simulator.conformance.rows import Column, Row, fields
from simulator.targets.codecs import codec
from simulator.targets.documents import by_column, document_of, names, split
from simulator.targets.model import Target
from simulator.targets.protocol import Codec, Reply


class Raw(NamedTuple):
    """A token written as it is, such as ``NaN`` or ``1e309``: no JSON encoder would."""

    token: str


class Form(NamedTuple):
    """One body and what it is called."""

    name: str
    body: bytes


@dataclass(frozen=True)
class Wire:
    """How this target is spoken to."""

    target: Target
    columns: tuple[Column, ...]

    @cached_property
    def _codec(self) -> Codec:
        return codec(self.target, fields(self.columns))

    @property
    def path(self) -> str:
        """Where bodies are posted."""
        return self._codec.path

    def body(self, rows: Sequence[Row], name: str = "") -> bytes:
        """The request that holds these rows; columns in the order of the first row. `name` is an id, if there is one.

        A key that only some of the rows have is null in the others where the protocol goes by columns, else missing.
        """
        if self.target.protocol == "oip-v2":
            return _dump(self._tensors(rows, name))
        return _dump(document_of(self.target)(rows))

    def _tensors(self, rows: Sequence[Row], name: str) -> dict[str, Any]:
        kinds = {column.name: self.target.tensors.datatype(column.kind) for column in self.columns}
        inputs = []
        for key in names(rows):
            data = [row.get(key) for row in rows]
            inputs.append({
                "name": key, "shape": self.target.tensors.of(len(rows)),
                "datatype": _datatype(data, kinds.get(key, "BYTES")), "data": data,
            })  # fmt: skip
        return {"id": name, "inputs": inputs} if name else {"inputs": inputs}

    def read(self, status: int, body: bytes, rows: int) -> Reply:
        """What a reply says; never raises."""
        return self._codec.decode(status, body, rows)

    def short(self, rows: Sequence[Row], column: str) -> bytes:
        """The same request, with one value of one column left out, so that columns differ in length."""
        if self.target.protocol == "oip-v2":
            document = self._tensors(rows, "")
            for tensor in document["inputs"]:
                if tensor["name"] == column:
                    tensor["data"] = tensor["data"][:-1]
            return _dump(document)
        if self.target.protocol == "mlflow":
            document = split(rows)
            document["dataframe_split"]["data"][-1].pop()
            return _dump(document)
        if document_of(self.target) is by_column:
            document = by_column(rows)
            document["inputs"][column].pop()
            return _dump(document)
        return self.body([*rows[:-1], {k: v for k, v in rows[-1].items() if k != column}])

    def misshapen(self, row: Row) -> list[Form]:
        """Bodies that are JSON, but no request."""
        known = self.body([row])
        common = [Form("object without anything", b"{}"), Form("null", b"null"), Form("number", b"7")]
        if self.target.protocol == "oip-v2":
            wrong = self._tensors([row], "")
            for tensor in wrong["inputs"]:
                tensor["shape"] = self.target.tensors.of(3)
            nested = self._tensors([row], "")
            nested["inputs"][0]["data"] = {"value": 1}
            none = {"inputs": [{"name": "x", "shape": [0], "datatype": "FP64", "data": []}]}
            return [
                *common,
                Form("shape of three rows with one value", _dump(wrong)),
                Form("object as data", _dump(nested)),
                Form("unknown column of no rows", _dump(none)),
                Form("list around the request", b"[" + known + b"]"),
            ]
        if self.target.protocol == "mlflow":
            flat = split([row])
            flat["dataframe_split"]["data"] = flat["dataframe_split"]["data"][0]
            wide = split([row])
            wide["dataframe_split"]["data"][0].append(1)
            return [*common, Form("row that is no list", _dump(flat)), Form("one value too many", _dump(wide))]
        if self.target.protocol == "tf-serving":
            return [
                *common,
                Form("row that is no list", _dump({"instances": dict(row)})),
                Form("instances and inputs", _dump({"instances": [dict(row)], "inputs": {k: [row[k]] for k in row}})),
                Form("list of numbers", b'{"instances":[1,2,3]}'),
                Form("list around the request", b"[" + known + b"]"),
            ]
        return [*common, Form("list of numbers", b"[1,2,3]"), Form("nested list", _dump([[dict(row)]]))]

    def empty(self) -> bytes | None:
        """A request of no rows."""
        tensors = self.target.tensors
        if self.target.protocol == "oip-v2":
            inputs = [
                {"name": c.name, "shape": tensors.of(0), "datatype": tensors.datatype(c.kind), "data": []}
                for c in self.columns
            ]
            return _dump({"inputs": inputs})
        if self.target.protocol == "mlflow":
            return _dump({"dataframe_split": {"columns": [c.name for c in self.columns], "data": []}})
        if self.target.protocol == "tf-serving":
            columns: dict[str, Any] = {"inputs": {c.name: [] for c in self.columns}}
            return _dump(columns if document_of(self.target) is by_column else {"instances": []})
        return b"[]"


def _datatype(data: list[Any], declared: str) -> str:
    """As an honest client writes it: by the values, if they are of another type than the column's."""
    seen = next((v for v in data if v is not None and not isinstance(v, Raw)), None)
    if isinstance(seen, str):
        return "BYTES"
    if isinstance(seen, bool):
        return "BOOL"
    if isinstance(seen, int):
        return declared if declared[:2] in {"IN", "FP"} else "INT64"
    return declared if not isinstance(seen, float) or declared.startswith("FP") else "FP64"


def _dump(value: Any) -> bytes:
    """JSON, with raw tokens as they are."""
    return _text(value).encode()


def _text(value: Any) -> str:
    if isinstance(value, Raw):
        return value.token
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(str(k))}:{_text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_text, value)) + "]"
    return json.dumps(value)

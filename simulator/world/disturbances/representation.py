"""The bytes change, the truth does not: each verb turns one record as clients send it into another.

A record maps field names to JSON values in the order of the wire. Verbs return a new record, keep the order of the
keys (all but `reorder`), and return an equal record where there is nothing to change: a null is not scaled, a
category is respelled only where it stands. NaN in a record stands for a bare NaN on the wire.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

import numpy as np

from simulator.scenario import disturbances as verbs
from simulator.world.population import Field

Record = dict[str, Any]

_ABSENT: Final = object()
_SPELLINGS: Final[Mapping[str, Any]] = {"null": None, "nan": math.nan, "empty": "", "na": "N/A"}


def nulls(record: Record, params: verbs.Nulls, field: Field | None, key: int) -> Record:  # noqa: ARG001 - one protocol
    """The value goes missing, in one of its spellings."""
    if params.spelling == "missing":
        return _without(record, params.field)
    return _with(record, params.field, _SPELLINGS[params.spelling])


def rename(record: Record, params: verbs.Rename, field: Field | None, key: int) -> Record:  # noqa: ARG001
    """The value stands under another name, in the same place."""
    return {params.to if name == params.field else name: value for name, value in record.items()}


def drop(record: Record, params: verbs.Drop, field: Field | None, key: int) -> Record:  # noqa: ARG001
    """The field is not sent."""
    return _without(record, params.field)


def add(record: Record, params: verbs.Add, field: Field | None, key: int) -> Record:  # noqa: ARG001
    """One field more, at the end."""
    return record | {params.field: params.value}


def nest(record: Record, params: verbs.Nest, field: Field | None, key: int) -> Record:  # noqa: ARG001
    """The value stands in an object, at the end."""
    if params.field not in record:
        return record
    below = record.get(params.under)
    inner = (below if isinstance(below, dict) else {}) | {params.field: record[params.field]}
    return _without(record, params.field) | {params.under: inner}


def retype(record: Record, params: verbs.Retype, field: Field | None, key: int) -> Record:  # noqa: ARG001
    """The same value in another type. What is no number in itself becomes the ordinal of its category."""
    value = record.get(params.field)
    if value is None:
        return record
    if params.to == "string":
        return _with(record, params.field, value if isinstance(value, str) else repr(value))
    if params.to == "list":
        return _with(record, params.field, [value])
    number = _ordinal(value, field) if isinstance(value, str) else float(value)
    return _with(record, params.field, bool(number) if params.to == "boolean" else number)


def scale(record: Record, params: verbs.Scale, field: Field | None, key: int) -> Record:  # noqa: ARG001
    """Another unit. Whole numbers stay whole where the result is."""
    value = record.get(params.field)
    if value is None or isinstance(value, str | bool | list):
        return record
    scaled = value * params.by
    whole = isinstance(value, int) and scaled == math.floor(scaled)
    return _with(record, params.field, int(scaled) if whole else scaled)


def respell(record: Record, params: verbs.Respell, field: Field | None, key: int) -> Record:  # noqa: ARG001
    """Another spelling of one category."""
    return _with(record, params.field, params.to) if record.get(params.field) == params.category else record


def outlier(record: Record, params: verbs.Outlier, field: Field | None, key: int) -> Record:  # noqa: ARG001
    """An extreme value."""
    return _with(record, params.field, params.value)


def reorder(record: Record, params: verbs.Reorder, field: Field | None, key: int) -> Record:  # noqa: ARG001
    """The same fields in an order that `key` decides."""
    salt = key.to_bytes(8, "little")
    return {name: record[name] for name in sorted(record, key=lambda n: blake2b(n.encode(), key=salt).digest())}


Verb = Callable[[Record, Any, Field | None, int], Record]
VERBS: Final[Mapping[str, Verb]] = {
    "nulls": nulls, "rename": rename, "drop": drop, "add": add, "nest": nest, "retype": retype, "scale": scale,
    "respell": respell, "outlier": outlier, "reorder": reorder,
}  # fmt: skip


def records(sent: Mapping[str, np.ndarray], fields: Sequence[Field], items: np.ndarray) -> list[Record]:
    """The records of the rows at these positions, as clients send them when nothing is wrong."""
    columns = [_plain(sent[field.name][items], field.kind) for field in fields]
    names = [field.name for field in fields]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def differs(a: Record, b: Record) -> bool:
    """Would these two records be other bytes? Key order and types count; NaN equals NaN."""
    return a is not b and (list(a) != list(b) or any(map(_spelled_otherwise, a.values(), b.values())))


def _spelled_otherwise(a: Any, b: Any) -> bool:
    return a is not b and (type(a) is not type(b) or repr(a) != repr(b))


def _plain(column: np.ndarray, kind: str) -> list[Any]:
    values: list[Any] = column.tolist()
    if kind == "category":
        return values
    cast: Callable[[float], object] = {"number": float, "integer": int, "boolean": bool}[kind]
    return [None if math.isnan(value) else cast(value) for value in values]


def _with(record: Record, name: str, value: Any) -> Record:
    return record | {name: value} if name in record else record


def _without(record: Record, name: str) -> Record:
    return {key: value for key, value in record.items() if key != name}


def _ordinal(value: str, field: Field | None) -> float:
    try:
        return float(value)
    except ValueError:
        known = field.categories if field else ()
        return float(known.index(value) if value in known else len(known))

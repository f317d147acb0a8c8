"""What every codec does with rows and statuses, whatever the protocol."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from simulator.history.schema import Outcome, Source
from simulator.plan import Chunk
from simulator.targets.model import Target
from simulator.world.population import Field

JSON: Final = ((b"content-type", b"application/json"),)
SOURCES: Final = {
    "model": Source.MODEL,
    "cache": Source.CACHE,
    "default": Source.DEFAULT,
    "fallback": Source.FALLBACK,
    "rejected": Source.REJECTED,
}


def request_ids(chunk: Chunk, firsts: list[int]) -> list[str]:
    """The ids under which requests are sent and their labels come back: ``main-12``, a duplicate ``main-12~1``.

    `firsts` are the positions of their first rows in the chunk.
    """
    columns = (column[firsts].tolist() for column in (chunk.stream, chunk.index, chunk.copy))
    return [f"{stream}-{index}~{copy}" if copy else f"{stream}-{index}" for stream, index, copy in zip(*columns)]  # noqa: B905 - one chunk


def literals(column: np.ndarray, kind: str) -> list[bytes]:
    """One JSON literal per value of a column; null for NaN and None."""
    if column.dtype == object:
        said = column.tolist()
        known = {value: msgspec.json.encode(value) for value in set(said)}
        return [known[value] for value in said]
    values: list[Any]
    if kind == "number":
        values = column.tolist()  # msgspec writes NaN as null
    elif np.isnan(column).any():
        cast: Callable[[float], object] = bool if kind == "boolean" else int
        values = [None if math.isnan(v) else cast(v) for v in column.tolist()]
    else:
        values = column.astype(bool if kind == "boolean" else np.int64).tolist()
    return msgspec.json.encode(values)[1:-1].split(b",") if values else []


def record(chunk: Chunk, i: int, fields: Sequence[Field]) -> dict[str, Any]:
    """Row i as clients send it: the override if there is one, else one key per field."""
    if i in chunk.overrides:
        return chunk.overrides[i]
    return {f.name: plain(chunk.sent[f.name][i], f.kind) for f in fields}


def plain(value: Any, kind: str) -> Any:
    """A column's value as JSON has it; NaN is null."""
    if value is None or isinstance(value, str):
        return value
    if math.isnan(value):
        return None
    return float(value) if kind == "number" else bool(value) if kind == "boolean" else int(value)


def spans(chunk: Chunk) -> list[tuple[int, int]]:
    """[first, last) item positions of each request in the chunk."""
    starts = np.flatnonzero(np.diff(chunk.request, prepend=-1)).tolist()
    return list(zip(starts, [*starts[1:], len(chunk)], strict=True)) if starts else []


def outcome_of(status: int, target: Target) -> Outcome:
    """What a status means in the target's own map of errors."""
    if status in target.errors.reject:
        return Outcome.REJECT
    if status in target.errors.shed:
        return Outcome.SHED
    return Outcome.OK if 200 <= status < 300 else Outcome.ERROR  # noqa: PLR2004 - HTTP's success range

"""Requests that something is wrong with, one of each kind: what stands beside honest ones, and what is refused."""

from __future__ import annotations

from typing import NamedTuple

from simulator.conformance.bench import Bench
from simulator.conformance.rows import Column, Row
from simulator.conformance.wire import Raw


class Poison(NamedTuple):
    """One spoilt request of one row, or of two (`ragged`)."""

    name: str
    body: bytes
    rows: int = 1


def replaced(row: Row, column: str, value: object) -> dict[str, object]:
    """The row with another value in that column, in the same place."""
    return {name: value if name == column else old for name, old in row.items()}


def renamed(row: Row, column: str, name: str) -> dict[str, object]:
    """The row with that column under another name, in the same place."""
    return {name if old == column else old: value for old, value in row.items()}


def without(row: Row, column: str) -> dict[str, object]:
    """The row without that column."""
    return {name: value for name, value in row.items() if name != column}


def beside(bench: Bench, column: Column, row: Row, other: Row) -> list[Poison]:
    """What an adaptive batcher may meet between two honest requests; `column` is one that the score depends on."""
    body = bench.wire.body
    first = next(iter(row))
    return [
        Poison("null", body([replaced(row, column.name, None)])),
        Poison("text in a number" if column.numeric else "number in a category", body([_retyped(row, column)])),
        Poison("NaN", body([replaced(row, column.name, Raw("NaN"))])),
        Poison("missing column", body([without(row, column.name)])),
        Poison("renamed column", body([renamed(row, column.name, "seatrial_renamed")])),
        Poison("extra column", body([{"seatrial_extra": 1.0, **row}])),
        Poison("other order of columns", body([dict(list(row.items())[::-1])])),
        Poison("columns of different length", bench.wire.short([row, other], column.name), 2),
        Poison("first column empty", bench.wire.short([row], first)),
        Poison("two rows", body([row, other]), 2),
        Poison("no rows", bench.wire.empty() or b"", 0),
        Poison("cut off in the middle", body([row])[: len(body([row])) // 2]),
    ]


def _retyped(row: Row, column: Column) -> dict[str, object]:
    return replaced(row, column.name, "seatrial" if column.numeric else 7)

"""Which columns an answer depends on, as far as the sample's own values show."""

from __future__ import annotations

from typing import Any, Final

from simulator.conformance import poison
from simulator.conformance.bench import Alone, Bench, Pair
from simulator.conformance.rows import Column, Row

_TRIED: Final = 6  # other values of a column
_ROWS: Final = 2


async def influence(bench: Bench, column: Column) -> Pair | None:
    """A pair for this column; None if no value of the sample changes any of the scores tried."""
    for base in bench.alone[:_ROWS]:
        if column.name not in base.row:
            continue
        for value in _others(column, base.row):
            row = poison.replaced(base.row, column.name, value)
            body = bench.wire.body([row])
            answer = await bench.ask(body)
            moved = len(answer.scores) == 1 and bench.unlike(answer.scores[0], (base.score,))
            if moved and bench.right(await bench.ask(body), answer.scores[0]):
                return Pair(column, base, Alone(row, body, answer.scores[0]))
    return None


def _others(column: Column, row: Row) -> list[Any]:
    """Other values of the sample; the extremes first."""
    values = [v for v in column.values if v != row[column.name]]
    if column.numeric and values:
        values = list(dict.fromkeys([max(values), min(values), *values]))
    return values[:_TRIED]


async def influences(bench: Bench) -> list[Pair]:
    """A pair for every column that has one, numbers first."""
    if not bench.pairs:
        found = [await influence(bench, column) for column in bench.columns]
        bench.pairs = tuple(sorted((p for p in found if p), key=lambda p: not p.column.numeric))
    return list(bench.pairs)


async def first_influential(bench: Bench) -> Column | None:
    """A column that the score depends on, a number if there is one."""
    found = await influences(bench)
    return found[0].column if found else None

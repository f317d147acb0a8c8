"""Columns go by their names: another order changes nothing, another name is not the same column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simulator.conformance import poison
from simulator.conformance.bench import Alone, Answer, Bench, failed, passed, unknown
from simulator.conformance.finding import Exchange, Finding
from simulator.conformance.influence import influences

ROWS = 4


async def probe(bench: Bench) -> list[Finding]:
    """Two findings: `order` and `names`."""
    if bench.doubt:
        return [unknown("columns", "all", bench.doubt)]
    return [await _order(bench), await _names(bench)]


async def _order(bench: Bench) -> Finding:
    """Reversed, rotated, sorted by name: the same rows, so the same answers. A refusal is honest, too."""
    refused = 0
    for known in bench.alone[:ROWS]:
        for name, row in _permuted(known.row).items():
            body = bench.wire.body([row])
            answer = await bench.ask(body)
            if bench.right(answer, known.score):
                continue
            if answer.refused:
                refused += 1
                continue
            again, right = await bench.ask(body), await bench.ask(known.body)
            if not bench.right(right, known.score) or bench.right(again, known.score):
                return unknown("columns", "order", "it differed once and not again", (answer.noted(name),))
            why = f"the same row with its columns {name} gets {answer.told()}, alone {known.score:.6g}"
            return _red(bench, why, known, answer=answer, right=right, note=name)
    told = f"{ROWS} rows in {len(_permuted(bench.alone[0].row))} other orders: the same answers"
    return passed("columns", "order", told + (f" ({refused} refused)" if refused else ""))


def _permuted(row: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    items = list(row.items())
    orders = {
        "reversed": dict(items[::-1]), "rotated": dict(items[1:] + items[:1]), "sorted": dict(sorted(items)),
    }  # fmt: skip
    # Two of one type swapped: whoever goes by place alone has nothing to stumble over.
    alike = [k for k, (_, value) in enumerate(items) if type(value) is float]
    if len(alike) > 1:
        one, two = alike[:2]
        items[one], items[two] = items[two], items[one]
        orders["swapped"] = dict(items)
    return orders


async def _names(bench: Bench) -> Finding:
    """A column under a name that nobody knows must not steer the score as if it had its own name.

    Shown on a pair of rows that differ in this column alone: if both get their own scores, only the place counted.
    """
    pairs = await influences(bench)
    if not pairs:
        return unknown("columns", "names", "no column was found that the score depends on")
    for pair in pairs:
        name = f"{pair.column.name}_seatrial"
        rows = [poison.renamed(one.row, pair.column.name, name) for one in (pair.one, pair.other)]
        answers = [await bench.score(row) for row in rows]
        if all(bench.right(a, one.score) for a, one in zip(answers, (pair.one, pair.other), strict=True)):
            why = (
                f"{pair.column.name} under the name {name} steers the score all the same: "
                f"{answers[0].told()} and {answers[1].told()}, as under its own name"
            )
            evidence: list[Exchange] = [a.noted(f"{pair.column.name} renamed") for a in answers]
            bodies = [pair.one.body, *(a.exchange.body for a in answers)]
            return failed("columns", "names", why, evidence, bench.curl(*bodies, note="own name, then renamed, twice"))
    return passed("columns", "names", f"{len(pairs)} columns under unknown names: none steers the score")


def _red(bench: Bench, why: str, known: Alone, *, answer: Answer, right: Answer, note: str) -> Finding:
    repro = bench.curl(known.body, answer.exchange.body, note=f"the row, and the same row {note}")
    return failed("columns", "order", why, (right.noted("alone"), answer.noted(note)), repro)

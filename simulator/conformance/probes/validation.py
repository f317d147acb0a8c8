"""A row that cannot be right is refused, or its answer says so: never a score as if nothing had happened.

Each case is tried on every column that the score is known to depend on (`simulator.conformance.influence`), twice.
What counts as legal is what the sample rows hold, no more: a column that is null there may be null.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from simulator.conformance import poison
from simulator.conformance.bench import Answer, Bench, Pair, failed, listed, passed, unknown
from simulator.conformance.finding import Exchange, Finding
from simulator.conformance.influence import influences
from simulator.conformance.rows import Column, Row
from simulator.conformance.wire import Raw
from simulator.history.schema import Outcome

_ROWS: Final = 3
COLUMNS: Final = 12  # at most as many are tried
_FAR: Final = 1e12  # times the largest value of the sample
Make = Callable[[Column, Row], Row | None]


@dataclass(frozen=True, slots=True)
class Case:
    """One way to be wrong. `make` gives the wrong row, or None where the case does not apply to the column."""

    name: str
    said: str  # "with a null"
    make: Make
    harmless: bool = False  # may be answered as the right row is


def _set(value: Callable[[Column, Any], Any]) -> Make:
    def make(column: Column, row: Row) -> Row | None:
        found = value(column, row[column.name])
        return None if found is None else poison.replaced(row, column.name, found)

    return make


def _number(token: object) -> Make:
    return _set(lambda column, _: token if column.numeric else None)


def _null(column: Column, row: Row) -> Row | None:
    return None if column.nullable else poison.replaced(row, column.name, None)


def _missing(column: Column, row: Row) -> Row | None:
    return None if column.optional else poison.without(row, column.name)


def _far(column: Column, _: Any) -> Any:
    if not column.numeric:
        return None
    far = max(1.0, *(abs(float(v)) for v in column.values)) * _FAR
    return int(far) if column.kind == "integer" else far


def _other_type(column: Column, _: Any) -> Any:
    return {"category": 7, "boolean": "seatrial", "number": "seatrial", "integer": "seatrial"}[column.kind]


CASES: Final = (
    Case("null", "with a null", _null),
    Case("missing", "without the column", _missing),
    Case("renamed", "with the column under another name", lambda c, r: poison.renamed(r, c.name, f"{c.name}_seatrial")),
    Case("text", "with a value of another type", _set(_other_type)),
    Case("number_as_text", "with the number in quotes",
         _set(lambda c, v: str(v) if c.numeric else None), harmless=True),
    Case("list", "with a list as the value", _set(lambda _, v: [v, v])),
    Case("nan", "with the token NaN", _number(Raw("NaN"))),
    Case("infinity", "with the token Infinity", _number(Raw("Infinity"))),
    Case("overflow", "with 1e309, which is no double", _number(Raw("1e309"))),
    Case("huge_integer", "with an integer of 401 digits", _number(Raw(f"1{'0' * 400}"))),
    Case("out_of_range", f"with {_FAR:g} times the largest value of the sample", _set(_far)),
    Case("unseen_category", "with a category that does not exist",
         _set(lambda c, _: "seatrial-unseen" if c.kind == "category" else None)),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tried:
    """One case on one column: what the answer amounts to, with the requests that show it."""

    column: str
    word: str  # refused, declared, unchanged, silent, 5xx, unreadable, lost, unstable
    why: str = ""
    evidence: tuple[Exchange, ...] = ()
    bodies: tuple[bytes, ...] = ()


_WRONG: Final = ("silent", "5xx", "unreadable", "lost")


async def probe(bench: Bench) -> list[Finding]:
    """One finding per case, and those of extra columns, empty requests and wrong shapes."""
    if bench.doubt:
        return [unknown("validation", "all", bench.doubt)]
    pairs = (await influences(bench))[:COLUMNS]
    found = [await _case(bench, case, pairs) for case in CASES]
    return [*found, await _extra(bench), await _named(bench, pairs), await _empty(bench), await _shapes(bench)]


async def _case(bench: Bench, case: Case, pairs: Sequence[Pair]) -> Finding:
    tried = [await _tried(bench, case, pair, row) for pair in pairs if (row := case.make(pair.column, pair.one.row))]
    if not tried:
        return unknown("validation", case.name, "no column that the score depends on can be wrong in this way")
    return judged(bench, case.name, tried)


def judged(bench: Bench, case: str, tried: Sequence[Tried]) -> Finding:
    """One finding from all columns: what is worst first, all words counted."""
    told = "; ".join(
        f"{word}: {listed(t.column for t in tried if t.word == word)}" for word in dict.fromkeys(t.word for t in tried)
    )
    worst = [next((t for t in tried if t.word == word), None) for word in _WRONG]
    shown = [t for t in worst if t is not None]
    if shown:
        evidence = [exchange for t in shown for exchange in t.evidence]
        repro = "\n".join(bench.curl(*t.bodies, note=f"{t.column}: {t.word}") for t in shown)
        return failed("validation", case, f"{shown[0].why} ({told})", evidence, repro)
    if any(t.word == "unstable" for t in tried):
        return unknown("validation", case, told)
    return passed("validation", case, told)


async def _tried(bench: Bench, case: Case, pair: Pair, row: Row) -> Tried:
    name, body = pair.column.name, bench.wire.body([row])
    first, second = await bench.ask(body), await bench.ask(body)
    word = _word(bench, pair, first)
    if word == "unchanged" and not case.harmless:
        # An answer can be right for one row of the pair at most: show the one for which it is wrong.
        pair = Pair(pair.column, pair.other, pair.one)
        word = "silent"
    if (first.exchange.status, first.scores) != (second.exchange.status, second.scores) and not (
        first.scores and second.scores and bench.same(first.scores[0], second.scores[0])
    ):
        return Tried(name, "unstable")
    right = await bench.ask(pair.one.body)
    if not bench.right(right, pair.one.score):
        return Tried(name, "unstable")
    why = ""
    if word == "5xx":
        why = f"a row {case.said} ({name}) gets {first.told()}: the caller's mistake as the server's"
    elif word == "unreadable":
        why = f"a row {case.said} ({name}) gets {_unread(first)}"
    elif word == "lost":
        why = f"a row {case.said} ({name}) gets no answer: {first.exchange.failure}"
    elif word == "silent":
        why = (
            f"a row {case.said} ({name}) gets {first.told()}, and nothing says so; with the value "
            f"{pair.one.row.get(name)!r} the score is {pair.one.score:.6g}, with {pair.other.row.get(name)!r} "
            f"{pair.other.score:.6g}; none of the {len(bench.rows)} sample rows is like this"
        )
    evidence = (right.noted(f"right, {name}"), first.noted(f"{case.said}, {name}"))
    return Tried(name, word, why, evidence, (pair.one.body, body))


def _word(bench: Bench, pair: Pair, answer: Answer) -> str:
    if answer.refused:
        return "refused"
    if answer.exchange.failure:
        return "lost"
    if answer.reply.outcome is Outcome.UNPARSEABLE or (
        answer.scores and answer.scores[0] != answer.scores[0] and not answer.declared(0)
    ):
        return "unreadable"
    if not answer.scores:
        return "5xx" if answer.exchange.status >= 500 else "refused"  # noqa: PLR2004 - HTTP's server errors
    if answer.declared(0):
        return "declared"
    return "unchanged" if bench.right(answer, pair.one.score) else "silent"


def _unread(answer: Answer) -> str:
    body = answer.exchange.reply
    what = "a body that is no JSON" if b"NaN" in body or b"Infinity" in body else "no score"
    return f"status {answer.exchange.status} with {what}"


async def _extra(bench: Bench) -> Finding:
    """One column more than asked for: the same answer, or a refusal."""
    tried = []
    extra = {"seatrial_extra": 1.0}
    for one in bench.alone[:_ROWS]:
        pair = Pair(bench.columns[0], one, bench.alone[-1])
        for where, row in (("last", {**one.row, **extra}), ("first", {**extra, **one.row})):
            case = Case("extra", f"with an extra column at the {where} place", _missing, harmless=True)
            found = await _tried(bench, case, pair, row)
            tried.append(Tried(f"extra {where}", found.word, found.why, found.evidence, found.bodies))
    return judged(bench, "extra", tried)


async def _named(bench: Bench, pairs: Sequence[Pair]) -> Finding:
    """A caller with several mistakes hears of all of them, where each by itself is named."""
    one = bench.alone[0]
    wrong = {pair.column.name: _other_type(pair.column, None) for pair in pairs}
    row = {name: wrong.get(name, value) for name, value in one.row.items()}
    alone = {name: await bench.score(poison.replaced(one.row, name, value)) for name, value in wrong.items()}
    named = [name for name, answer in alone.items() if _names(answer, name)]
    if len(named) < 2:  # noqa: PLR2004 - several
        return unknown("validation", "all_named", "no two columns are named where they alone are wrong")
    answer = await bench.score(row)
    if not (answer.refused or answer.scores):  # other cases are held to that
        return unknown("validation", "all_named", f"with {listed(wrong)} wrong at once: {answer.told()}")
    if unsaid := [name for name in named if not _names(answer, name)]:
        why = f"with {listed(wrong)} wrong at once nothing is said of {listed(unsaid)}, which are named when alone"
        evidence = (alone[unsaid[0]].noted(f"{unsaid[0]} alone"), answer.noted("all at once"))
        return failed("validation", "all_named", why, evidence, bench.curl(answer.exchange.body))
    return passed("validation", "all_named", f"all of {listed(named)} are named at once")


def _names(answer: Answer, column: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(column)}(?!\w)".encode(), answer.exchange.reply) is not None


async def _empty(bench: Bench) -> Finding:
    """No rows: no scores, or a refusal."""
    body = bench.wire.empty()
    if body is None:
        return unknown("validation", "empty", "the protocol has no request without rows")
    return judged(bench, "empty", [await _strange(bench, "no rows", body, rows=0)])


async def _shapes(bench: Bench) -> Finding:
    """What is JSON but no request, and what is no JSON at all."""
    body = bench.alone[0].body
    forms = [*bench.wire.misshapen(bench.alone[0].row)]
    tried = [await _strange(bench, form.name, form.body) for form in forms]
    short = bench.wire.short([bench.alone[0].row, bench.alone[1].row], bench.columns[-1].name)
    tried.append(await _strange(bench, "columns of different length", short, rows=2))
    tried.append(await _strange(bench, "no JSON", b"seatrial"))
    tried.append(await _strange(bench, "cut off", body[:-5]))
    tried.append(await _strange(bench, "not UTF-8", b"\xff\xfe" + body))
    return judged(bench, "shape", tried)


async def _strange(bench: Bench, name: str, body: bytes, rows: int = 1) -> Tried:
    first, second = await bench.ask(body, rows), await bench.ask(body, rows)
    evidence, bodies = (first.noted(name),), (body,)
    if first.exchange.status != second.exchange.status:
        return Tried(name, "unstable")
    if first.exchange.failure:
        return Tried(name, "lost", f"{name}: no answer, {first.exchange.failure}", evidence, bodies)
    if first.exchange.status >= 500:  # noqa: PLR2004 - HTTP's server errors
        return Tried(name, "5xx", f"{name}: {first.told()}, the caller's mistake as the server's", evidence, bodies)
    if first.refused or first.exchange.status >= 400:  # noqa: PLR2004 - HTTP's client errors
        return Tried(name, "refused")
    if rows == 0 and not first.scores and first.reply.outcome is Outcome.OK:
        return Tried(name, "no scores")
    if bench.right(first, bench.alone[0].score):
        return Tried(name, "unchanged")  # lenient, and right all the same
    if first.scores and all(first.declared(k) for k in range(len(first.scores))):
        return Tried(name, "declared")
    if any(score == score for score in first.scores):  # noqa: PLR0124 - not NaN
        return Tried(name, "silent", f"{name}: {first.told()}, and nothing says so", evidence, bodies)
    return Tried(name, "unreadable", f"{name}: {_unread(first)}", evidence, bodies)

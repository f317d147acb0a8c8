"""An answer never depends on its neighbours: concurrent, in one request, or beside requests that are wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from simulator.conformance import poison
from simulator.conformance.bench import Alone, Answer, Bench, failed, listed, passed, unknown
from simulator.conformance.finding import Exchange, Finding
from simulator.conformance.influence import first_influential
from simulator.conformance.poison import Poison
from simulator.history.schema import Outcome

ROUNDS: Final = 4
CROWD: Final = 16  # requests at once
TWICE: Final = 2  # a finding must be seen again
_LATER: Final = (Outcome.SHED, Outcome.TIMEOUT)  # refused for load is no wrong answer


@dataclass(slots=True)
class Wrongs:
    """Answers in company that are none of their row's, and what they were beside."""

    seen: list[tuple[Alone, Answer, str]] = field(default_factory=list)
    asked: int = 0

    def add(self, bench: Bench, known: Alone, answer: Answer, company: str) -> None:
        """Note the answer if it is not the one that the row gets alone."""
        self.asked += 1
        if not bench.right(answer, known.score) and answer.reply.outcome not in _LATER:
            self.seen.append((known, answer, company))


async def probe(bench: Bench) -> list[Finding]:
    """Three findings: `concurrent`, `batched`, `poisoned_batch`, and one for each kind of poison."""
    if bench.doubt:
        return [unknown("isolation", "all", bench.doubt)]
    crowded = await _concurrent(bench)
    found = [crowded, await _batched(bench)]
    column = await first_influential(bench)
    if column is None:
        return [*found, unknown("isolation", "poisoned", "no column was found that the score depends on")]
    one, two = bench.alone[:2]
    found += [await _poisoned(bench, spoilt) for spoilt in poison.beside(bench, column, one.row, two.row)]
    return [*found, await _poisoned_batch(bench, column.name)]


async def _concurrent(bench: Bench) -> Finding:
    wrongs = Wrongs()
    for k in range(ROUNDS):
        crowd = [bench.alone[(k + i) % len(bench.alone)] for i in range(CROWD)]
        for known, answer in zip(crowd, await bench.together([one.body for one in crowd]), strict=True):
            wrongs.add(bench, known, answer, "")
    return await _judged(bench, "concurrent", wrongs, f"beside {CROWD - 1} other honest requests")


async def _poisoned(bench: Bench, spoilt: Poison) -> Finding:
    """Honest requests before, between and after spoilt ones, all at once; their answers and those of the poison."""
    case = f"beside {spoilt.name}".replace(" ", "_")
    alone = await bench.ask(spoilt.body, spoilt.rows)
    wrongs, moods = Wrongs(), []
    for k in range(ROUNDS):
        honest = [bench.alone[(k + i) % len(bench.alone)] for i in range(CROWD // 2)]
        bodies: list[bytes] = []
        for i, one in enumerate(honest):
            bodies += [spoilt.body, one.body] if (i + k) % TWICE else [one.body]
        answers = await bench.together(bodies)
        kept = [answer for body, answer in zip(bodies, answers, strict=True) if body != spoilt.body]
        moods += [a for body, a in zip(bodies, answers, strict=True) if body == spoilt.body]
        for known, answer in zip(honest, kept, strict=True):
            wrongs.add(bench, known, answer, spoilt.name)
    found = await _judged(
        bench, case, wrongs, f"beside a request with {spoilt.name}", beside=(spoilt.body,), spoilt=alone
    )
    if found.status != "pass":
        return found
    again = await bench.ask(spoilt.body, spoilt.rows)
    # How an honest crowd's members fare was seen before; here the wrong one must not be answered because of them.
    changed = [a for a in moods if alone.refused and again.refused and a.exchange.status == 200]  # noqa: PLR2004 - OK
    if len(changed) >= TWICE:
        why = f"a request with {spoilt.name} is refused when alone, and answered ({changed[0].told()}) in company"
        evidence = (alone.noted("alone"), changed[0].noted("in company"), again.noted("alone again"))
        return failed("isolation", case, why, evidence, bench.curl_together(spoilt.body, [bench.alone[0].body]))
    return found


async def _judged(
    bench: Bench,
    case: str,
    wrongs: Wrongs,
    company: str,
    *,
    beside: tuple[bytes, ...] = (),
    spoilt: Answer | None = None,
) -> Finding:
    """FAIL needs two wrong answers, and each row right again when alone."""
    if not wrongs.seen:
        return passed("isolation", case, f"{wrongs.asked} answers {company}: each the same as alone")
    confirmed: list[tuple[Alone, Answer, Answer]] = []
    for known, answer, _ in wrongs.seen[:8]:
        again = await bench.ask(known.body)
        if bench.right(again, known.score):
            confirmed.append((known, answer, again))
    known, answer, _ = wrongs.seen[0]
    if len(confirmed) < min(TWICE, len(wrongs.seen)) or len(wrongs.seen) < TWICE:
        why = f"{len(wrongs.seen)} of {wrongs.asked} answers {company} differed, which is not enough, or not alone"
        return unknown("isolation", case, why, (answer.noted(company),))
    known, answer, again = confirmed[0]
    owner = next((o for o in bench.alone if o is not known and bench.right(answer, o.score)), None)
    whose = ", which is the answer of another row" if owner is not None else ""
    why = (
        f"{len(wrongs.seen)} of {wrongs.asked} honest requests {company} got another answer than alone: "
        f"score {known.score:.6g} alone, {answer.told()} in company{whose}"
    )
    evidence = [again.noted("alone, afterwards"), answer.noted(company)]
    evidence += [spoilt.noted("the company, alone")] if spoilt else []
    others = beside or tuple(one.body for one in bench.alone[1:6] if one is not known)
    return failed("isolation", case, why, evidence, bench.curl_together(known.body, others))


# ---------------------------------------------------------------- rows of one request


async def _batched(bench: Bench) -> Finding:
    """All rows in one request, forwards and backwards: the scores of the rows alone, at their places."""
    rows = bench.alone
    whole: list[Answer] = []
    for order in (rows, rows[::-1], rows[:3]):
        answer = await bench.score(*(one.row for one in order))
        if not answer.scores:
            told = f"{len(order)} rows in one request get {answer.told()}: perhaps it takes one row at a time"
            return unknown("isolation", "batched", told, (answer.noted(f"{len(order)} rows"),))
        whole.append(answer)
        wrong = _misplaced(bench, order, answer)
        if wrong and _misplaced(bench, order, await bench.score(*(one.row for one in order))):
            k = wrong[0]
            alone = await bench.ask(order[k].body)
            if not bench.right(alone, order[k].score):
                return unknown("isolation", "batched", "the row alone has another answer now", (alone.noted("alone"),))
            why = (
                f"row {k} of {len(order)} in one request scores {answer.scores[k]:.6g}, alone {order[k].score:.6g} "
                f"({len(wrong)} of {len(order)} rows differ)"
            )
            repro = bench.curl(order[k].body, answer.exchange.body, note=f"alone, and as row {k} of {len(order)}")
            return failed("isolation", "batched", why, (alone.noted("alone"), answer.noted("in one request")), repro)
    return passed("isolation", "batched", f"{len(rows)} rows in one request, in both orders: each the same as alone")


def _misplaced(bench: Bench, order: Sequence[Alone], answer: Answer) -> list[int]:
    return [k for k, one in enumerate(order) if not (answer.scores and bench.same(answer.scores[k], one.score))]


async def _poisoned_batch(bench: Bench, column: str) -> Finding:
    """One wrong row among right ones: the right ones keep their scores, or the whole request is refused as theirs."""
    rows = bench.alone[:4]
    told: list[str] = []
    control = await bench.score(*(one.row for one in rows))
    if not control.scores:
        return unknown("isolation", "bad_row", f"four rows in one request get {control.told()}")
    kind = next(c for c in bench.columns if c.name == column)
    spoilt = {
        "a null": poison.replaced(rows[1].row, column, None),
        "a value of another type": poison.replaced(rows[1].row, column, "seatrial" if kind.numeric else 7),
        "a missing column": poison.without(rows[1].row, column),
    }
    for name, bad in spoilt.items():
        sent = [rows[0].row, bad, rows[2].row, rows[3].row]
        answers = [await bench.score(*sent) for _ in range(TWICE)]
        wrong = [_neighbours(bench, rows, answer) for answer in answers]
        if all(wrong):
            evidence: tuple[Exchange, ...] = (control.noted("all four right"), answers[0].noted(f"row 1 has {name}"))
            why = f"beside a row with {name}, {wrong[0]}"
            bodies = (control.exchange.body, answers[0].exchange.body)
            return failed(
                "isolation", "bad_row", why, evidence, bench.curl(*bodies, note="right, and with a bad row 1")
            )
        told.append("refused" if not answers[0].scores else "apart")
    return passed("isolation", "bad_row", f"a bad row among four: {listed(told)}; its neighbours' scores are theirs")


def _neighbours(bench: Bench, rows: Sequence[Alone], answer: Answer) -> str:
    """What is wrong with the rows around a bad one; nothing if they are right, or the request is refused."""
    if answer.refused:
        return ""
    if not answer.scores:
        return f"the whole request gets {answer.told()}"
    if len(answer.scores) != len(rows):
        return f"{len(answer.scores)} rows are answered instead of {len(rows)}"
    wrong = [k for k in (0, 2, 3) if not bench.same(answer.scores[k], rows[k].score)]
    return f"row {wrong[0]} scores {answer.scores[wrong[0]]:.6g} instead of {rows[wrong[0]].score:.6g}" if wrong else ""

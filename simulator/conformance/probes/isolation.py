"""An answer never depends on its neighbours: concurrent, in one request, or beside requests that are wrong.

Whoever asks at once asks about fresh rows, first in company and then alone: a server that remembers is right about what
it was asked alone before, however wrong it is about the rest. If it remembers what it said in company, it says that
alone as well, so the second request has other bytes; and what it remembers by the values themselves shows only once
it was started anew (`remembered`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from simulator.conformance import poison
from simulator.conformance.bench import Alone, Answer, Bench, failed, listed, passed, unknown
from simulator.conformance.berth import Berth
from simulator.conformance.finding import Exchange, Finding
from simulator.conformance.fresh import Fresh
from simulator.conformance.influence import first_influential
from simulator.conformance.poison import Poison
from simulator.conformance.rows import Row
from simulator.history.schema import Outcome

ROUNDS: Final = 3
CROWD: Final = 16  # requests at once
TWICE: Final = 2  # a finding must be seen again
REMEMBERED: Final = 96  # answers that are looked at again after a new start
_LATER: Final = (Outcome.SHED, Outcome.TIMEOUT)  # refused for load is no wrong answer


@dataclass(frozen=True, slots=True)
class Wrong:
    """An answer in company that is not its row's, and all that was sent at the same time."""

    known: Alone
    answer: Answer
    crowd: tuple[bytes, ...]


@dataclass(slots=True)
class Crowds:
    """Rounds of fresh rows, asked about at once and then alone."""

    bench: Bench
    fresh: Fresh
    rounds: int = 0
    asked: int = 0
    seen: list[Wrong] = field(default_factory=list)
    known: list[Alone] = field(default_factory=list)

    async def round(self, size: int, spoilt: Sequence[bytes] = ()) -> list[Answer]:
        """Ask about so many fresh rows, a spoilt request before some of them; the answers of the spoilt."""
        bench = self.bench
        rows = self.fresh.take(size)
        honest = [bench.named([row], "company") for row in rows]
        self.rounds += 1  # the first of all is now a spoilt one, now an honest one
        bodies: list[bytes] = []
        left = iter(spoilt)
        for i, body in enumerate(honest):
            before = next(left, None) if (i + self.rounds) % TWICE else None
            bodies += [body] if before is None else [before, body]
        answers = await bench.together(bodies)
        own = {body: answer for body, answer in zip(bodies, answers, strict=True) if body in honest}
        for row, body in zip(rows, honest, strict=True):
            await self._alone(row, own[body], tuple(other for other in bodies if other != body))
        return [answer for body, answer in zip(bodies, answers, strict=True) if body not in own]

    async def _alone(self, row: Row, answer: Answer, crowd: tuple[bytes, ...]) -> None:
        """Note the answer if it is not the one that the row gets alone. A row that is refused alone shows nothing."""
        body = self.bench.named([row], "alone")
        alone = await self.bench.ask(body)
        if len(alone.scores) != 1:
            return
        self.asked += 1
        known = Alone(row, body, alone.scores[0])
        self.known.append(known)
        if self.bench.right(answer, known.score):
            self.bench.company.append(known)
        elif answer.reply.outcome not in _LATER:
            self.seen.append(Wrong(known, answer, crowd))


async def probe(bench: Bench) -> list[Finding]:
    """Findings: `concurrent`, `batched`, `bad_row`, and one for each kind of poison."""
    if bench.doubt:
        return [unknown("isolation", "all", bench.doubt)]
    fresh = Fresh([one.row for one in bench.alone], bench.rows)
    found = [await _concurrent(bench, fresh), await _batched(bench)]
    column = await first_influential(bench)
    if column is None:
        return [*found, unknown("isolation", "poisoned", "no column was found that the score depends on")]
    one, two = (known.row for known in bench.alone[:2])
    # Spoilt requests are fresh as well: one that was answered once may be remembered.
    more = fresh.take(2 * (ROUNDS * CROWD // 4 + 1))
    pairs = [(one, two), *zip(more[::2], more[1::2], strict=False)]
    kinds = zip(*(poison.beside(bench, column, *pair) for pair in pairs), strict=True)
    found += [await _poisoned(bench, fresh, spoilt) for spoilt in kinds]
    return [*found, await _poisoned_batch(bench, column.name)]


async def _concurrent(bench: Bench, fresh: Fresh) -> Finding:
    crowds = Crowds(bench, fresh)
    for _ in range(ROUNDS):
        await crowds.round(CROWD)
    return await _judged("concurrent", crowds, f"beside {CROWD - 1} other honest requests")


async def _poisoned(bench: Bench, fresh: Fresh, spoilt: Sequence[Poison]) -> Finding:
    """Honest requests before, between and after spoilt ones, all at once; their answers and those of the poison."""
    name, rows = spoilt[0].name, spoilt[0].rows
    case = f"beside {name}".replace(" ", "_")
    alone = await bench.ask(spoilt[0].body, rows)
    crowds, moods = Crowds(bench, fresh), []
    bodies, quarter = [one.body for one in spoilt[1:]], CROWD // 4
    for k in range(ROUNDS):
        moods += await crowds.round(CROWD // 2, bodies[k * quarter : (k + 1) * quarter])
    found = await _judged(case, crowds, f"beside a request with {name}", spoilt=alone)
    if found.status != "pass":
        return found
    again = await bench.ask(spoilt[-1].body, rows)
    # How an honest crowd's members fare was seen before; here the wrong one must not be answered because of them.
    changed = [a for a in moods if alone.refused and again.refused and a.exchange.status == 200]  # noqa: PLR2004 - OK
    if len(changed) >= TWICE:
        why = f"a request with {name} is refused when alone, and answered ({changed[0].told()}) in company"
        evidence = (alone.noted("alone"), changed[0].noted("in company"), again.noted("alone again"))
        repro = bench.curl_company([changed[0].exchange.body, crowds.known[0].body], spoilt[-1].body)
        return failed("isolation", case, why, evidence, repro)
    return found


async def _judged(case: str, crowds: Crowds, company: str, *, spoilt: Answer | None = None) -> Finding:
    """FAIL needs two wrong answers, and each row right again when alone."""
    bench, seen = crowds.bench, crowds.seen
    if crowds.asked < CROWD:
        why = (
            f"only {crowds.asked} rows that nobody had asked about could be made of the sample and were answered alone"
        )
        return unknown("isolation", case, why)
    if not seen:
        return passed("isolation", case, f"{crowds.asked} answers {company}: each the same as alone")
    confirmed: list[tuple[Wrong, Answer]] = []
    for wrong in seen[:8]:
        again = await bench.ask(bench.named([wrong.known.row], "again"))
        if bench.right(again, wrong.known.score):
            confirmed.append((wrong, again))
    if len(confirmed) < TWICE:
        why = f"{len(seen)} of {crowds.asked} answers {company} differed, which is not enough, or not alone"
        return unknown("isolation", case, why, (seen[0].answer.noted(company),))
    wrong, again = confirmed[0]
    known, answer = wrong.known, wrong.answer
    owner = next((o for o in crowds.known if o is not known and bench.right(answer, o.score)), None)
    whose = ", which is the answer of another row" if owner is not None else ""
    why = (
        f"{len(seen)} of {crowds.asked} honest requests {company} got another answer than alone: "
        f"score {known.score:.6g} alone, {answer.told()} in company{whose}"
    )
    evidence = [again.noted("alone, afterwards"), answer.noted(company)]
    evidence += [spoilt.noted("the company, alone")] if spoilt else []
    repro = bench.curl_company([answer.exchange.body, *wrong.crowd], known.body)
    return failed("isolation", case, why, evidence, repro)


async def remembered(bench: Bench, berth: Berth) -> Finding:
    """After a new start: what was said in company, and alone after that, is what a server says that knows nothing yet.

    A cache of rows that was filled in company hides from everybody else that the answers in it are wrong.
    """
    if not berth.command:
        why = "the server was not started by us, so what it remembers cannot be taken from it"
        return unknown("isolation", "remembered", why)
    moved = [
        one for one in bench.alone[: len(bench.alone) // 2] if not bench.right(await bench.ask(one.body), one.score)
    ]
    if moved or not bench.company:
        why = "since it was started again it scores otherwise" if moved else "nothing was answered in company"
        return unknown("isolation", "remembered", why)
    some = bench.company[:: max(1, len(bench.company) // REMEMBERED)]
    wrong: list[tuple[Alone, Answer]] = []
    for one in some:
        answer = await bench.ask(bench.named([one.row], "anew"))
        if len(answer.scores) == 1 and not bench.right(answer, one.score):
            again = await bench.ask(bench.named([one.row], "anew"))
            wrong += [(one, again)] if bench.right(again, answer.scores[0]) else []
    if len(wrong) < TWICE:
        if wrong:
            return unknown("isolation", "remembered", "one answer is another one since the new start: not enough")
        return passed("isolation", "remembered", f"{len(some)} answers in company: the same after a new start")
    known, anew = wrong[0]
    why = (
        f"{len(wrong)} of {len(some)} rows that were first asked about in company were remembered wrongly: score "
        f"{known.score:.6g} in company and alone, {anew.told()} after a new start"
    )
    repro = bench.curl(known.body, note="asked for the first time beside others; then alone after a new start")
    return failed("isolation", "remembered", why, (anew.noted("after a new start"),), repro)


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

"""The control before everything else: does the same row, alone, get the same answer each time?"""

from __future__ import annotations

from simulator.conformance.bench import Alone, Answer, Bench, passed, unknown
from simulator.conformance.finding import Finding
from simulator.history.schema import Outcome

PASSES = 3
ENOUGH = 4  # rows of distinct scores
ASKED = 40  # of the sample; the others only show what is legal


async def probe(bench: Bench) -> list[Finding]:
    """Ask each row alone, three times, backwards the second time; fills ``bench.alone``, or ``bench.doubt``."""
    bodies = [bench.wire.body([row], f"alone-{k}") for k, row in enumerate(bench.rows[:ASKED])]
    answers: list[list[Answer]] = [[] for _ in bodies]
    for k in range(PASSES):
        order = range(len(bodies)) if k % 2 == 0 else reversed(range(len(bodies)))
        for i in order:
            answers[i].append(await bench.ask(bodies[i]))
    answered = [i for i, three in enumerate(answers) if all(len(a.scores) == 1 for a in three)]
    if len(answered) < ENOUGH:
        worst = next((three[0] for i, three in enumerate(answers) if i not in answered), None)
        told = f"; the first that is not gets {worst.told()}" if worst else ""
        bench.doubt = f"only {len(answered)} of {len(bodies)} sample rows are answered when they are alone{told}"
        return [unknown("control", "alone", bench.doubt, (worst.noted("alone"),) if worst else ())]
    for i in answered:
        first, *more = answers[i]
        other = next((a for a in more if not bench.same(a.scores[0], first.scores[0])), None)
        if other is not None:
            bench.doubt = f"the same row, alone, got {first.told()} and then {other.told()}"
            evidence = (first.noted("alone"), other.noted("alone, again"))
            return [unknown("control", "alone", bench.doubt, evidence)]
    distinct: list[Alone] = []
    for i in answered:
        score = answers[i][0].scores[0]
        if score == score and bench.unlike(score, (known.score for known in distinct)):  # noqa: PLR0124 - not NaN
            distinct.append(Alone(bench.rows[i], bodies[i], score))
    bench.alone = tuple(distinct)
    if len(distinct) < ENOUGH:
        bench.doubt = f"the sample rows have only {len(distinct)} different scores, so answers cannot be told apart"
        return [unknown("control", "alone", bench.doubt)]
    bench.errors[:] = [e for e in bench.errors if e.status >= 500]  # noqa: PLR2004 - rows may be refused, not fail
    lost = [a for three in answers for a in three if a.reply.outcome is Outcome.ERROR]
    why = f"{len(answered)} of {len(bodies)} rows, {PASSES} times each: the same answers; {len(distinct)} differ"
    return [passed("control", "alone", why + (f"; {len(lost)} answers of 5xx" if lost else ""))]

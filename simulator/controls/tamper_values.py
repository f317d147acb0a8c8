"""T controls of values: one score changed, two swapped, one missing; an estimate on both sides of its tolerance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from math import nan
from typing import Final

import numpy as np

from simulator.checks.evidence import Evidence
from simulator.controls import edits, naive
from simulator.controls.case import Case, Tampering
from simulator.controls.naive.court import mate
from simulator.controls.naive.tails import sizes
from simulator.history.schema import Outcome
from simulator.verdict import Status

_FEWEST: Final = 200  # labels, without which an estimate says nothing


def parity(case: Case) -> Iterator[Tampering]:
    """Values differ in one row, or in as many as two clean runs' own noise cannot explain."""
    opinion, evidence = case.opinion, case.evidence
    count = min(opinion.trials, sizes(opinion.trials, opinion.limit).red) if opinion.limit else 1
    rows = np.array(opinion.voters[:count], np.int64)
    score = evidence.main.items["score"]
    yield f"red: {count} changed", Status.FAIL, lambda: edits.with_values(evidence, rows, score=score[rows] + 1)
    yield f"red: {count} missing", Status.FAIL, lambda: edits.with_values(evidence, rows, score=nan)
    if count == 1 and _decided(case, int(rows[0])):
        another = "seatrial-control"
        yield "red: another decision", Status.FAIL, lambda: edits.with_values(evidence, rows, decision=another)
    pair = _two(case)
    if pair is not None and count == 1:
        a, b = pair
        swapped = np.array([score[b], score[a]])
        yield "red: two swapped", Status.FAIL, lambda: edits.with_values(evidence, [a, b], score=swapped)
    yield "green: another order of the records", Status.PASS, lambda: edits.reversed_items(evidence)


def _decided(case: Case, position: int) -> bool:
    """Whether a row and its twin, of equal scores, both say what was decided."""
    beside = case.expectation.params.beside
    twin = case.court.serving[beside] if beside is not None else case.court.twin
    row = case.court.main.rows[position]
    other = mate(row, twin) if twin is not None else None
    return other is not None and bool(row.decision and other.decision) and row.score == other.score


def idempotent(case: Case) -> Iterator[Tampering]:
    """One second answer is another one: by score, by version, by outcome; or, of another payload, an answer at all."""
    evidence, row = case.evidence, case.opinion.voters[:1]
    duplicate = case.scenario.event(str(case.expectation.of)).duplicate
    if duplicate is not None and duplicate.payload != "same":
        answered = {"outcome": int(Outcome.OK), "score": 0.5}
        yield "red: one is answered", Status.FAIL, lambda: edits.with_values(evidence, row, **answered)
    else:
        score = evidence.main.items["score"][row]
        other = np.where(np.isfinite(score), score + 1, 0.5)
        yield "red: one other score", Status.FAIL, lambda: edits.with_values(evidence, row, score=other)
        yield "red: one other version", Status.FAIL, lambda: edits.with_values(evidence, row, version="another")
        failed = int(Outcome.ERROR)
        yield "red: one fails", Status.FAIL, lambda: edits.with_values(evidence, row, outcome=failed)
    yield "green: another order of the records", Status.PASS, lambda: edits.reversed_items(evidence)


def _two(case: Case) -> tuple[int, int] | None:
    """Two rows whose scores differ."""
    score = case.evidence.main.items["score"]
    first = case.opinion.voters[0]
    other = (row for row in case.opinion.voters if abs(score[row] - score[first]) > case.evidence.tolerance)
    return next(((first, row) for row in other), None)


def quality(case: Case) -> Iterator[Tampering]:
    """The estimate is moved to just beyond and just within its tolerance, and made to count too much."""
    expectation, evidence, run = case.expectation, case.evidence, case.court.main
    of, within = expectation.params.of, expectation.params.within
    latest = naive.estimates(run, naive.when(expectation, case.scenario, run))[-1]
    value, _, answers = naive.truth(of, run, latest.data["matured_before_ns"])

    def estimated(**data: float) -> Evidence:
        as_of = latest.data["as_of_ns"] + 1  # later than the latest
        return edits.with_note(evidence, replace(latest, data={**latest.data, "as_of_ns": as_of, **data}))

    for sign in (1, -1):
        beyond, inside = value + sign * within * (1 + 1e-6), value + sign * within * (1 - 1e-6)
        where = "above" if sign > 0 else "below"
        yield f"red: just too far {where}", Status.FAIL, partial(estimated, **{of: beyond})
        yield f"green: just near enough {where}", Status.PASS, partial(estimated, **{of: inside})
    yield "red: labels counted twice", Status.FAIL, lambda: estimated(n=2 * answers)
    if 0.9 * naive.acknowledged(run, latest) > _FEWEST:
        yield "red: labels not counted", Status.FAIL, lambda: estimated(n=_FEWEST)
    yield "premise: no estimate", Status.UNKNOWN, lambda: edits.without_notes(evidence, "quality")

"""T controls of two versions side by side: as many good scores spoilt as leave it the worse, and as many as do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from simulator.checks.evidence import Evidence
from simulator.controls import edits, naive
from simulator.controls.case import Case, Tampering
from simulator.verdict import Status


def better(case: Case) -> Iterator[Tampering]:
    """Scores turn round until it is surely not better; the arms change places; customers meet both, or are too few."""
    wanted, evidence = case.expectation.params, case.evidence
    run = case.court.main
    window = naive.when(case.expectation, case.scenario, run)
    rows = naive.rows_of(case.expectation, run, window, case.expectation.of)
    kept = set(case.opinion.voters)
    ours = [row for row in naive.scored(rows, wanted.version) if row.position in kept]
    crossed = {row.entity for row in naive.scored(rows, wanted.version)} - {row.entity for row in ours}
    theirs = [row for row in naive.scored(rows, wanted.than) if row.entity not in crossed]
    beside = [(row.entity, (row.score - row.truth) ** 2) for row in theirs]

    def spoilt(count: int) -> Status:
        arm = [(row.entity, 1.0 if k < count else (row.score - row.truth) ** 2) for k, row in enumerate(ours)]
        return naive.gained(arm, beside, wanted.by, wanted.min_customers)

    def wrong(count: int) -> Evidence:
        score = np.array([1.0 - row.truth for row in ours[:count]])
        return edits.with_values(evidence, [row.position for row in ours[:count]], score=score)

    if spoilt(len(ours)) is Status.FAIL:
        refused = _least(lambda count: spoilt(count) is Status.FAIL, len(ours))
        allowed = _least(lambda count: spoilt(count) is not Status.PASS, refused) - 1
        yield f"red: {refused} of {len(ours)} scores are wrong", Status.FAIL, lambda: wrong(refused)
        yield f"green: {allowed} are, which it can bear", Status.PASS, lambda: wrong(allowed)
    names = np.array([wanted.than] * len(ours) + [wanted.version] * len(theirs), object)
    places = [row.position for row in (*ours, *theirs)]
    first = min((event.at for event in case.scenario.when), default=0)
    turned = naive.gained(beside, [(r.entity, (r.score - r.truth) ** 2) for r in ours], wanted.by, 2)
    if turned is Status.FAIL and all(row.scheduled_ns >= first for row in theirs):  # who serves before is a premise
        yield (
            "red: each arm under the other's name",
            Status.FAIL,
            lambda: edits.with_values(evidence, places, version=names),
        )
    yield "green: another order of the records", Status.PASS, lambda: edits.reversed_items(evidence)
    turns = np.array([(wanted.version, wanted.than)[k % 2] for k in range(len(places))], object)
    one = np.full(len(places), ours[0].entity)
    yield (
        "premise: one customer meets both",
        Status.UNKNOWN,
        lambda: edits.with_values(evidence, places, version=turns, entity=one),
    )
    mute = places[: len(places) // 50 + 1]
    yield (
        "premise: one row in fifty has no score",
        Status.UNKNOWN,
        lambda: edits.with_values(evidence, mute, score=np.nan),
    )
    few = _beyond([row.entity for row in ours], wanted.min_customers - 1)
    unknown = [row.position for row in ours if row.entity in few]
    yield "premise: too few customers", Status.UNKNOWN, lambda: edits.with_values(evidence, unknown, truth=-1)


def _least(holds: Callable[[int], bool], most: int) -> int:
    """A count that holds where the one before does not, by halving; none holds, and `most` does."""
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _beyond(customers: Sequence[int], kept: int) -> set[int]:
    """All of them but so many."""
    return set(sorted(set(customers))[kept:])

"""T controls of errors by group: as many wrong decisions about one as are refused, and as many as are allowed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from simulator.checks.evidence import Evidence
from simulator.controls import edits, naive
from simulator.controls.case import Case, Tampering
from simulator.verdict import Status


def group_errors(case: Case) -> Iterator[Tampering]:
    """The group nearest to the limit is wronged more; nothing is known of it; another order of the records."""
    wanted, evidence, opinion = case.expectation.params, case.evidence, case.opinion
    window = naive.when(case.expectation, case.scenario, case.court.main)
    rows = naive.rows_of(case.expectation, case.court.main, window, case.expectation.of)
    votes = naive.wronged(case.expectation, rows)
    name = next(name for name, group in votes.items() if group[0][0] == opinion.voters[0])
    counts = {each: (sum(bad for *_, bad in group), len(group)) for each, group in votes.items()}
    trials, innocent = opinion.trials, [opinion.voters[i] for i in opinion.innocent]
    stands = {
        k: naive.apart(counts | {name: (k, trials)}, wanted.gap, wanted.min_rows)
        for k in range(opinion.failures, trials + 1)
    }
    refused = next((k for k, status in stands.items() if status is Status.FAIL), None)
    allowed = next((k for k, status in stands.items() if status is not Status.PASS), trials + 1) - 1

    def wrong(count: int) -> Evidence:
        return _decided(case, evidence, innocent[: count - opinion.failures], wrongly=True)

    def only() -> Evidence:
        # Where the others are wronged as often as the limit allows, they have to be spared first.
        others = [voter for each, group in votes.items() if each != name for voter, *_ in group]
        return _decided(case, _decided(case, evidence, others, wrongly=False), opinion.voters, wrongly=True)

    if refused is None:
        yield f"red: wrong about all of {name}, and about nobody else", Status.FAIL, only
    else:
        yield f"red: wrong about {refused} of {trials} of {name}", Status.FAIL, lambda: wrong(refused)
    yield f"green: about {allowed}, as many as are allowed", Status.PASS, lambda: wrong(allowed)
    yield "green: another order of the records", Status.PASS, lambda: edits.reversed_items(evidence)
    unknown = np.array(opinion.voters[wanted.min_rows - 1 :], np.int64)
    yield "premise: too few of known truth", Status.UNKNOWN, lambda: edits.with_values(evidence, unknown, truth=-1)
    blank = np.arange(len(evidence.main))
    yield (
        "premise: nobody says what was decided",
        Status.UNKNOWN,
        lambda: edits.with_values(evidence, blank, decision=""),
    )


def _decided(case: Case, evidence: Evidence, rows: Sequence[int], *, wrongly: bool) -> Evidence:
    wanted = case.expectation.params
    approve = wrongly == (wanted.of == "false_negative")
    return edits.with_values(evidence, rows, decision=wanted.approve if approve else f"not {wanted.approve}")

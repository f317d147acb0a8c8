"""T controls of versions that must not be noticed: one reply is another, later, the shadow's; one request is lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from simulator.checks.evidence import Evidence
from simulator.controls import edits, naive
from simulator.controls.case import Case, Tampering
from simulator.history.schema import NEVER, Outcome
from simulator.verdict import Status


def shadow(case: Case) -> Iterator[Tampering]:
    """One reply differs by its score, by 1 ns, by its version, or by not being there."""
    evidence, row = case.evidence, case.opinion.voters[:1]
    items, version = evidence.main.items, case.expectation.params.version
    score, replied = items["score"][row], items["replied_ns"][row]
    other = np.where(np.isfinite(score), score + 1, 0.5)
    answered = int(items["outcome"][row[0]]) == Outcome.OK
    if answered:
        yield "red: another score", Status.FAIL, lambda: edits.with_values(evidence, row, score=other)
    yield "red: 1 ns later", Status.FAIL, lambda: edits.with_values(evidence, row, replied_ns=replied + 1)
    yield "red: the shadow answers", Status.FAIL, lambda: edits.with_values(evidence, row, version=version)
    lost = {"outcome": int(Outcome.TIMEOUT if answered else Outcome.OK), "replied_ns": NEVER}
    yield "red: no answer", Status.FAIL, lambda: edits.with_values(evidence, row, **lost)
    yield "green: another order of the records", Status.PASS, lambda: edits.reversed_items(evidence)


def lossless(case: Case) -> Iterator[Tampering]:
    """One request of those in flight is lost, refused for load, or answered by a version that nobody knows."""
    evidence, run = case.evidence, case.court.main
    window = naive.when(case.expectation, case.scenario, run)
    open_then, sent = naive.concerned(case.scenario, case.court, window)
    one = edits.rows_of_requests(evidence.main, [open_then[0].request])
    ours = {row.request for row in [*open_then, *sent]}
    outside = [row.request for row in run.rows if row.request not in ours][:1]

    def as_(outcome: Outcome, rows: np.ndarray = one) -> Evidence:
        # Still open when the window begins, as it was; and the clean twin lost no such thing.
        clean = evidence.twin
        found = edits.with_values(evidence, rows, outcome=int(outcome))
        if clean is None:
            return found
        keys = {(row.stream, row.number, 0) for row in run.rows if row.position in set(rows.tolist())}
        own = zip(clean.items["stream"], clean.items["index"], clean.items["copy"], strict=True)
        mine = np.array([(s, int(i), 0) in keys for s, i, _ in own], bool)
        whole = clean.items["outcome"].copy()
        whole[mine] = int(Outcome.OK)
        return replace(found, twin=replace(clean, items={**clean.items, "outcome": whole}))

    yield "red: one in flight is lost", Status.FAIL, lambda: as_(Outcome.RESET)
    yield "red: one in flight is shed", Status.FAIL, lambda: as_(Outcome.SHED)
    nobody = {"outcome": int(Outcome.OK), "version": "nobody's"}
    yield "red: a version that nobody knows", Status.FAIL, lambda: edits.with_values(evidence, one, **nobody)
    if outside:
        rows = edits.rows_of_requests(evidence.main, outside)
        yield "green: one is lost elsewhere", Status.PASS, lambda: as_(Outcome.RESET, rows)
    yield "green: another order of the records", Status.PASS, lambda: edits.reversed_items(evidence)

    def nothing_open() -> Evidence:
        rows = np.array([row.position for row in open_then], np.int64)
        return edits.with_values(evidence, rows, replied_ns=evidence.main.items["scheduled_ns"][rows])

    yield "premise: nothing in flight", Status.UNKNOWN, nothing_open

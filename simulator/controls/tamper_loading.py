"""T controls of load: one call, or one nanosecond, more than allowed; exactly as much; and nobody who counts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from simulator.checks.evidence import Evidence
from simulator.controls import edits, naive
from simulator.controls.case import Case, Tampering
from simulator.controls.naive.loading import marks, spent, tally
from simulator.verdict import Status


def amplification(case: Case) -> Iterator[Tampering]:
    """The last count in the window says more."""
    evidence, wanted, court = case.evidence, case.expectation.params, case.court
    window = naive.when(case.expectation, case.scenario, court.main)
    calls, lasted = tally(court.main, window, wanted.to)
    usual, twin_lasted = tally(court.twin or court.main, window, wanted.to)
    allowed = math.floor(wanted.times * (usual * lasted) / twin_lasted)
    last = next(
        note
        for note in reversed(marks(court.main, wanted.to))
        if window.spans[-1][0] <= note.at_ns <= window.spans[-1][1]
    )

    def called(total: int) -> Evidence:
        counted = last.data[wanted.to] - calls + total
        others = tuple(note for note in evidence.main.notes if note != last)
        return edits.with_main(evidence, notes=(*others, replace(last, data={**last.data, wanted.to: counted})))

    yield f"red: {allowed + 1} calls", Status.FAIL, lambda: called(allowed + 1)
    yield f"green: {allowed} calls, as many as allowed", Status.PASS, lambda: called(allowed)
    yield "premise: nobody counts", Status.UNKNOWN, lambda: edits.without_notes(evidence, "calls")


def cost(case: Case) -> Iterator[Tampering]:
    """The last mark in the window says more, or less."""
    evidence, wanted, court = case.evidence, case.expectation.params, case.court
    window = naive.when(case.expectation, case.scenario, court.main)
    used, rows = spent(court.main, window)
    allowed = wanted.cpu * rows // 1000
    measured = sorted((note for note in evidence.main.notes if note.kind == "cpu"), key=lambda note: note.at_ns)
    last = [note for note in measured if any(start <= note.at_ns <= end for start, end in window.spans)][-1]

    def took(total: int) -> Evidence:
        data = last.data | {"used_ns": last.data["used_ns"] - used + total}
        others = tuple(note for note in evidence.main.notes if note != last)
        return edits.with_main(evidence, notes=(*others, replace(last, data=data)))

    yield "red: 1 ns more than allowed", Status.FAIL, lambda: took(allowed + 1)
    yield "green: as much as allowed", Status.PASS, lambda: took(allowed)
    yield "green: another order of the records", Status.PASS, lambda: edits.reversed_items(evidence)
    yield "premise: nobody measured", Status.UNKNOWN, lambda: edits.without_notes(evidence, "cpu")

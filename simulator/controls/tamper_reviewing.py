"""T controls of human review: cases that nobody was shown, and verdicts that do not stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from simulator.checks.evidence import Evidence
from simulator.controls import edits
from simulator.controls.case import Case, Tampering
from simulator.controls.naive.logs import name
from simulator.controls.naive.reviewing import keyed
from simulator.controls.tamper_shares import borders, chosen
from simulator.history.schema import Note
from simulator.verdict import Status

Key = tuple[str, int]


def reviewed(case: Case) -> Iterator[Tampering]:
    """One case that says so is shown to nobody, or its verdict is not taken, or something else stands; all is read."""
    evidence, run = case.evidence, case.court.main
    to_see = next(run.rows[i] for i in case.opinion.voters if run.rows[i].decision == case.expectation.params.decision)
    key = name(to_see, run, shared=keyed(case.scenario))

    def without(kind: str) -> Callable[[], Evidence]:
        left = tuple(note for note in evidence.main.notes if note.kind != kind or _key(note) != key)
        return lambda: edits.with_main(evidence, notes=left)

    def said(kind: str, **data: Any) -> Callable[[], Evidence]:
        notes = tuple(
            Note(note.at_ns, kind, note.data | data) if note.kind == kind and _key(note) == key else note
            for note in evidence.main.notes
        )
        return lambda: edits.with_main(evidence, notes=notes)

    yield "red: shown to nobody", Status.FAIL, without("review")
    yield "red: not taken", Status.FAIL, said("review", taken=False)
    yield "red: another decision stands", Status.FAIL, said("stands", decision="another")
    yield "red: nothing stands", Status.FAIL, without("stands")
    yield "green: another order of the replies", Status.PASS, lambda: edits.reversed_items(evidence)
    yield "premise: nobody read the queue", Status.UNKNOWN, lambda: edits.without_notes(evidence, "queue")
    yield "premise: nobody asked what stands", Status.UNKNOWN, lambda: edits.without_notes(evidence, "stands")


def shown(case: Case) -> Iterator[Tampering]:
    """People are shown so many, or so many fewer, that the limit is just kept, and just broken."""
    allowed, red = borders(case)
    trials = case.opinion.trials
    yield f"red: {red} of {trials} fail", Status.FAIL, lambda: _failing(case, min(red, trials))
    yield f"green: {allowed} of {trials} fail, as many as allowed", Status.PASS, lambda: _failing(case, allowed)
    yield "premise: nobody read the queue", Status.UNKNOWN, lambda: edits.without_notes(case.evidence, "queue")


def _failing(case: Case, failures: int) -> Evidence:
    evidence, run = case.evidence, case.court.main
    rows = [run.rows[case.opinion.voters[i]] for i in chosen(case, failures)]
    keys = {name(row, run, shared=keyed(case.scenario)) for row in rows}
    if case.expectation.params.max is None:
        left = tuple(note for note in evidence.main.notes if note.kind != "review" or _key(note) not in keys)
        return edits.with_main(evidence, notes=left)
    more = (Note(0, "review", {"id": of, "row": row, "verdict": "", "taken": True}) for of, row in sorted(keys))
    return edits.with_main(evidence, notes=(*evidence.main.notes, *more))


def _key(note: Note) -> Key:
    return str(note.data["id"]), int(note.data["row"])

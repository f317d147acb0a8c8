"""T controls of retraining: a step that is missing, too short, too late or too early; an answer that must not be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from simulator.checks.evidence import Evidence
from simulator.controls import edits, naive
from simulator.controls.case import Case, Tampering
from simulator.history.schema import NEVER, Note, Outcome
from simulator.verdict import Status

SECOND: Final = 10**9


def retrain(case: Case) -> Iterator[Tampering]:
    """The journal is told otherwise, or one reply is."""
    evidence, wanted = case.evidence, case.expectation.params
    window = naive.when(case.expectation, case.scenario, case.court.main)
    start, deadline = window.spans[0][0], window.spans[-1][1]
    last = "live" if wanted.goes == "live" else "refused"
    others = np.flatnonzero(_answered(evidence) & (evidence.main.items["version"] != wanted.version))
    yield f"red: {last} at the deadline", Status.FAIL, lambda: _moved(case, last, deadline)
    yield f"red: never {last}", Status.FAIL, lambda: _without(case, last)
    if wanted.goes == "nowhere":
        one = [int(others[-1])]
        canary = replace(_told(case)[-1], data=_told(case)[-1].data | {"step": "canary"})
        yield "red: one reply by it", Status.FAIL, lambda: edits.with_values(evidence, one, version=wanted.version)
        yield "red: it says that it was a canary", Status.FAIL, lambda: edits.with_note(evidence, canary)
        yield "green: refused at the last moment", Status.PASS, lambda: _moved(case, last, deadline - 1)
        yield "green: refused at the first moment", Status.PASS, lambda: _moved(case, last, start)
    else:
        yield from _on_its_way(case, others)
    yield "premise: nobody read the journal", Status.UNKNOWN, lambda: edits.without_notes(evidence, "retraining")
    afterwards = "premise: a step entered afterwards"
    yield afterwards, Status.UNKNOWN, lambda: _with(case, lambda n: _but(n, last_ns=n.data["said_ns"] + SECOND + 1))


def _on_its_way(case: Case, others: np.ndarray) -> Iterator[Tampering]:
    """Steps that are too short or left out, and answers before their time or beyond their share."""
    evidence, wanted = case.evidence, case.expectation.params
    step = {note.data["step"]: note.data["said_ns"] for note in reversed(_told(case))}
    canary, live, at = step["canary"], step["live"], evidence.main.items["replied_ns"]
    early = others[at[others] < canary - SECOND][-1:]

    def early_at(moment: int) -> Evidence:
        return edits.with_values(evidence, early, version=wanted.version, replied_ns=moment)

    if len(early):
        yield "red: one reply before the canary", Status.FAIL, lambda: early_at(canary - SECOND - 1)
        yield "green: one reply a second before", Status.PASS, lambda: early_at(canary - SECOND)
    yield "red: no shadow", Status.FAIL, lambda: _without(case, "shadow")
    yield "red: no canary", Status.FAIL, lambda: _without(case, "canary")
    short, enough, late = canary - wanted.shadow + 1, canary - wanted.shadow, live - wanted.canary + 1
    yield "red: a shadow 1 ns too short", Status.FAIL, lambda: _moved(case, "shadow", short)
    yield "green: a shadow just long enough", Status.PASS, lambda: _moved(case, "shadow", enough)
    yield "red: a canary 1 ns too short", Status.FAIL, lambda: _moved(case, "canary", late)
    yield "red: a shadow that nobody asked", Status.FAIL, lambda: _with(case, lambda note: _but(note, asked=0))
    trial = np.flatnonzero(_answered(evidence) & (at >= canary) & (at < live))
    least = naive.sizes(len(trial), wanted.share).red
    if least <= len(trial):
        yield "red: a canary that grew", Status.FAIL, lambda: _served(case, trial, least)
        yield "green: a canary as large as may be", Status.PASS, lambda: _served(case, trial, least - 1)
    since = np.flatnonzero(_answered(evidence) & (at >= live))
    yield "red: live, and nobody hears it", Status.FAIL, lambda: _served(case, since, 0)


def _answered(evidence: Evidence) -> np.ndarray:
    items = evidence.main.items
    return np.asarray((items["outcome"] == Outcome.OK) & (items["replied_ns"] != NEVER))


def _told(case: Case) -> list[Note]:
    version = case.expectation.params.version
    return [n for n in case.evidence.main.notes if n.kind == "retraining" and n.data["version"] == version]


def _but(note: Note, **data: int) -> Note:
    return replace(note, data=note.data | data)


def _with(case: Case, change: Callable[[Note], Note]) -> Evidence:
    ours = _told(case)
    notes = tuple(change(note) if note in ours else note for note in case.evidence.main.notes)
    return edits.with_main(case.evidence, notes=notes)


def _moved(case: Case, step: str, to: int) -> Evidence:
    """That step is taken, entered and read at another moment."""

    def change(note: Note) -> Note:
        return replace(_but(note, said_ns=to, last_ns=to), at_ns=to) if note.data["step"] == step else note

    return _with(case, change)


def _without(case: Case, step: str) -> Evidence:
    gone = [note for note in _told(case) if note.data["step"] == step]
    return edits.with_main(case.evidence, notes=tuple(n for n in case.evidence.main.notes if n not in gone))


def _served(case: Case, rows: np.ndarray, count: int) -> Evidence:
    """Of these rows so many are its own, and the others another version's."""
    mended = edits.with_values(case.evidence, rows, version=case.scenario.given.serving)
    return edits.with_values(mended, rows[:count], version=case.expectation.params.version)

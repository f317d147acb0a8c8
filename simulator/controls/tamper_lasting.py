"""T controls of what must last: bad until the deadline, and until 1 ns before the last moment that is early enough."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from simulator.checks.evidence import Evidence
from simulator.controls import edits, naive
from simulator.controls.case import Case, Tampering
from simulator.history.schema import NEVER, Note, Outcome, Source
from simulator.verdict import Status

STEP: Final = 10 * 10**9
MINUTE: Final = 60 * 10**9
HALF: Final = 0.5  # a score like any other


def recovers(case: Case) -> Iterator[Tampering]:
    """Rows are moved to where an error leaves no room to recover, and to where it leaves just enough."""
    expectation, evidence, run = case.expectation, case.evidence, case.court.main
    window = naive.when(expectation, case.scenario, run)
    start, deadline = window.spans[0][0], window.spans[-1][1]
    hold = -(-max(1, expectation.hold) // STEP) * STEP
    latest = min(deadline - 1, run.header.end_ns - hold)

    def bad_until(moment: int) -> Evidence:
        # One error in every stretch of `hold` up to that moment, the last one just before it.
        moments = np.arange(moment - 1, start - 1, -hold)
        rows = _rows_to_move(evidence, len(moments), avoid=(latest, latest + hold))
        return edits.with_values(evidence, rows, scheduled_ns=moments, outcome=int(Outcome.ERROR))

    def just_recovered() -> Evidence:
        at = evidence.main.items["scheduled_ns"]
        rows = np.flatnonzero((at >= latest) & (at < latest + hold))
        bad = bad_until(latest)
        score = bad.main.items["score"][rows]
        score = np.where(np.isfinite(score), score, HALF)
        return edits.with_values(bad, rows, outcome=int(Outcome.OK), source=int(Source.MODEL), score=score)

    yield "red: not before the deadline", Status.FAIL, lambda: bad_until(deadline)
    yield "green: at the last moment", Status.PASS, just_recovered


def _rows_to_move(evidence: Evidence, count: int, avoid: tuple[int, int]) -> np.ndarray:
    """The first rows that do not stand in `avoid`: moving those would thin out what has to last."""
    at = evidence.main.items["scheduled_ns"]
    return np.flatnonzero((at < avoid[0]) | (at >= avoid[1]))[:count]


def rollback(case: Case) -> Iterator[Tampering]:
    """A late reply of the other version, a flap, a request lost in flight; and the last moment that is early enough."""
    expectation, evidence, run = case.expectation, case.evidence, case.court.main
    window = naive.when(expectation, case.scenario, run)
    start, deadline = window.spans[0][0], window.spans[-1][1]
    horizon = naive.next_release(expectation, case.scenario, run)
    to, items = expectation.params.to, evidence.main.items
    answered = items["outcome"] == Outcome.OK
    at = items["scheduled_ns"]
    others = np.flatnonzero(answered & (items["version"] != to) & (at >= start) & (at < horizon))
    last = int(others[np.argmax(at[others])])
    switched = int(at[last]) + 1
    other = str(items["version"][last])
    ours = np.flatnonzero(answered & (items["version"] == to) & (at < horizon))
    latest = min(deadline - 1, min(run.header.end_ns, horizon) - expectation.hold)

    def last_other(moment: int) -> Evidence:
        return edits.with_values(evidence, [last], scheduled_ns=moment - 1)

    def on_time() -> Evidence:
        # Whoever is in flight at this later moment must get through as well.
        near = np.flatnonzero((at >= latest - case.scenario.given.traffic.timeout) & (at < latest + STEP))
        near = near[np.isin(items["outcome"][near], [int(o) for o in naive.ERRORS])]
        mended = edits.with_values(evidence, near, outcome=int(Outcome.OK), version=to, score=HALF)
        return edits.with_values(mended, [last], scheduled_ns=latest - 1)

    flap = int(ours[np.argmax(at[ours])])
    lost = ours[at[ours] >= switched][:1]

    def lost_in_flight() -> Evidence:
        request = edits.rows_of_requests(evidence.main, items["request"][lost])
        gone = {"outcome": int(Outcome.RESET), "replied_ns": NEVER, "scheduled_ns": switched}
        return edits.with_values(evidence, request, **gone)

    def never_seen() -> Evidence:
        return edits.with_values(evidence, others, version=to)

    yield "red: a reply of the other version at the deadline", Status.FAIL, lambda: last_other(deadline)
    if int(at[flap]) + 1 >= deadline:
        back = f"red: {other} comes back"
        yield back, Status.FAIL, lambda: edits.with_values(evidence, [flap], version=other)
    yield "red: a request lost in flight", Status.FAIL, lost_in_flight
    yield "red: no other version ever answered", Status.FAIL, never_seen
    yield "green: the last one just in time", Status.PASS, on_time


def readiness(case: Case) -> Iterator[Tampering]:
    """The endpoint changes its mind at the deadline, and 1 ns before; and nobody asked it."""
    evidence = case.evidence
    window = naive.when(case.expectation, case.scenario, case.court.main)
    deadline = window.spans[-1][1]
    wanted = case.expectation.params.to == "ready"
    if case.expectation.params.to == "ready_throughout":
        yield "red: unready for an instant", Status.FAIL, lambda: edits.with_note(evidence, _unready(deadline - 1))
        yield "green: unready at the deadline", Status.PASS, lambda: edits.with_note(evidence, _unready(deadline))
        yield "premise: nobody asked", Status.UNKNOWN, lambda: edits.without_notes(evidence, "ready")
        return

    def changed(moment: int) -> Evidence:
        others = tuple(note for note in evidence.main.notes if note.kind != "ready")
        end = evidence.main.header.end_ns
        asked = sorted({*range(0, end, MINUTE), moment})
        said = tuple(Note(at, "ready", {"ready": wanted if at >= moment else not wanted}) for at in asked)
        return edits.with_main(evidence, notes=(*others, *said))

    yield "red: at the deadline", Status.FAIL, lambda: changed(deadline)
    yield "green: 1 ns before the deadline", Status.PASS, lambda: changed(deadline - 1)
    yield "premise: nobody asked", Status.UNKNOWN, lambda: edits.without_notes(evidence, "ready")


def _unready(at: int) -> Note:
    return Note(at, "ready", {"ready": False})


def refuses(case: Case) -> Iterator[Tampering]:
    """The release is accepted; it is refused, and one reply is that version's all the same; its answer is lost."""
    evidence, version = case.evidence, case.expectation.params.version
    start = naive.when(case.expectation, case.scenario, case.court.main).spans[0][0]
    what = f"release {version}"

    def status(code: int) -> Evidence:
        notes = tuple(
            replace(note, data={**note.data, "status": code}) if note.data.get("what") == what else note
            for note in evidence.main.notes
        )
        return edits.with_main(evidence, notes=notes)

    def served() -> Evidence:
        items = evidence.main.items
        rows = np.flatnonzero((items["scheduled_ns"] >= start) & (items["outcome"] == Outcome.OK))[:1]
        return edits.with_values(evidence, rows, version=version)

    yield "red: accepted", Status.FAIL, lambda: status(202)
    yield "red: an error, and no refusal", Status.FAIL, lambda: status(500)
    yield "green: refused for another reason", Status.PASS, lambda: status(409)
    yield "red: one reply by it", Status.FAIL, served
    yield "premise: no answer to the release", Status.UNKNOWN, lambda: edits.without_notes(evidence, "action")

"""Scores beside the twin's, estimates beside the truth."""

from __future__ import annotations

from math import isfinite, nan

from simulator.controls.naive.book import Book
from simulator.controls.naive.court import NOISE, Court, Opinion, equal, must
from simulator.controls.naive.premises import noise, sent, served, side, sound
from simulator.controls.naive.shares import comparable, poll, tagged
from simulator.controls.naive.tails import by_tails
from simulator.controls.naive.windows import When, ground, rows_of, when
from simulator.history.schema import NEVER, Note, Outcome
from simulator.scenario.model import Expectation, Scenario
from simulator.verdict import Status


def parity(expectation: Expectation, scenario: Scenario, court: Court) -> Opinion:
    """equal: every score that the twin has."""
    twin, noisy, _ = noise(court, scenario)
    window = when(expectation, scenario, court.main)
    rows, votes = rows_of(expectation, court.main, window, expectation.of), []
    version = expectation.params.serving
    if version is not None:
        tagged(court.main, rows)
        beside = f"{version}@{expectation.params.target}" if expectation.params.target else version
        must(beside in court.serving, "no run of that version")
        twin, noisy = court.serving[beside], set()
        given = scenario.given.model_copy(update={"serving": version})
        there = scenario.model_copy(update={"given": given})
        side(court, twin, there, elsewhere=expectation.params.target is not None)
        served(twin, there.clean())
        alone = not any(one.verb in {"release", "retrain", "operator"} for one in scenario.when)
        rows = [row for row in rows if row.version == version or (alone and row.outcome != Outcome.OK)]
    for row in rows:
        other = comparable(row, twin, noisy)
        if other is None or other.outcome != Outcome.OK or not isfinite(other.score):
            continue
        score = row.score if row.outcome == Outcome.OK else nan
        good = equal(score, other.score, court.tolerance)
        if score == other.score and row.decision and other.decision:
            good = row.decision == other.decision
        votes.append((row.position, row.scheduled_ns, not good))
    pairs, wrong = len(votes), sum(failed for _, _, failed in votes)
    if wrong:
        noisier = not noisy or by_tails(wrong, pairs, NOISE) is Status.FAIL
        return Opinion(Status.FAIL if noisier else Status.UNKNOWN)
    must(pairs >= max(1, expectation.params.min_pairs), "enough data")
    sound(court.main, scenario)
    sent(court, scenario)
    must(pairs >= 0.9 * len(rows), "hardly comparable")
    return poll(Status.PASS, votes, NOISE if noisy else 0.0)


def idempotent(expectation: Expectation, scenario: Scenario, court: Court) -> Opinion:
    """equal: second deliveries beside the first ones."""
    window = ground(expectation, scenario, court)
    duplicate = scenario.event(str(expectation.of)).duplicate
    other = duplicate is not None and duplicate.payload != "same"
    rows, votes = rows_of(expectation, court.main, window, expectation.of), []
    for row in rows:
        first = court.main.by_key.get((row.stream, row.number, 0))
        if row.copy == 0 or first is None or first.outcome not in (Outcome.OK, Outcome.REJECT):
            continue
        if row.outcome == Outcome.SHED:
            continue
        if other:
            votes.append((row.position, row.scheduled_ns, row.outcome != Outcome.REJECT))
            continue
        scored = (row.score == first.score) or not (isfinite(row.score) or isfinite(first.score))
        same = row.outcome == first.outcome and scored and row.decision == first.decision
        votes.append((row.position, row.scheduled_ns, not (same and row.version == first.version)))
    if any(failed for _, _, failed in votes):
        return Opinion(Status.FAIL)
    must(len(votes) >= max(1, expectation.params.min_pairs), "enough data")
    return poll(Status.PASS, votes, 0.0)


def truth(of: str, run: Book, before: int) -> tuple[float, int, int]:
    """The value that an estimate should have, the rows behind it, and the answers counting duplicates."""
    total, rows, answers = 0.0, 0, 0
    for row in run.rows:
        if row.outcome != Outcome.OK or not isfinite(row.score) or row.truth < 0 or row.event_ns >= before:
            continue
        answers += 1
        if row.copy == 0:
            rows += 1
            total += row.truth if of == "positive_rate" else (row.score - row.truth) ** 2
    return (total / rows if rows else nan), rows, answers


def acknowledged(run: Book, note: Note) -> int:
    """How many labels of the rows that an estimate speaks of had come by then."""
    before = note.data["matured_before_ns"]
    return sum(
        row.outcome == Outcome.OK and isfinite(row.score) and row.truth >= 0 and row.event_ns < before
        and row.copy == 0 and NEVER < row.label_ns <= note.at_ns
        for row in run.rows
    )  # fmt: skip


def estimates(run: Book, window: When) -> list[Note]:
    """The service's own estimates in the window, the latest last."""
    found = [note for note in run.notes if note.kind == "quality" and note.at_ns in window]
    return sorted(found, key=lambda note: (note.at_ns, note.data["as_of_ns"], note.data["n"]))


def quality(expectation: Expectation, scenario: Scenario, court: Court) -> Opinion:
    """The last estimate, against the truth of the rows it speaks of."""
    window = ground(expectation, scenario, court)
    wanted = expectation.params
    found = estimates(court.main, window)
    must(bool(found), "no estimate")
    data = found[-1].data
    must(data[wanted.of] is not None, "no number")
    value, rows, answers = truth(wanted.of, court.main, data["matured_before_ns"])
    must(min(data["n"], rows) >= 200 and isfinite(data[wanted.of]), "enough data")  # noqa: PLR2004 - of the law
    good = (
        0.9 * acknowledged(court.main, found[-1]) <= data["n"] <= 1.01 * answers
        and abs(data[wanted.of] - value) <= wanted.within
    )
    return Opinion(Status.PASS if good else Status.FAIL)

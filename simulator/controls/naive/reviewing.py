"""Human review once more: one answer after the other beside what people were shown, and said."""

from __future__ import annotations

from simulator.controls.naive.book import Book, Row
from simulator.controls.naive.court import Court, Opinion, must
from simulator.controls.naive.logs import name
from simulator.controls.naive.premises import notes
from simulator.controls.naive.shares import poll, share
from simulator.controls.naive.windows import When, complete, ground, rows_of
from simulator.history.schema import Outcome, Source
from simulator.scenario.model import Expectation, Scenario
from simulator.verdict import Status


def reviewed(expectation: Expectation, scenario: Scenario, court: Court) -> Opinion:
    """equal: what is to be reviewed was shown; what was said of whatever was shown was taken, and stands."""
    window, run, wanted = ground(expectation, scenario, court), court.main, expectation.params
    rows = in_time(expectation, run, window)
    runs = [run, court.twin] if court.twin else [run]
    spelled = any(row.decision == wanted.decision for each in runs for row in each.rows)
    must(not rows or spelled, "nobody ever decides so")
    said, stands = cases(run, "review"), cases(run, "stands")
    must(not said or bool(stands), "nobody asked what stands")
    votes = []
    for row in rows:
        key = name(row, run, shared=keyed(scenario))
        told = said.get(key)
        if told is None and row.decision != wanted.decision:
            continue
        stood = stands.get(key, {}).get("decision", "")
        votes.append((row.position, row.scheduled_ns, told is None or not told["taken"] or stood != told["verdict"]))
    if any(failed for *_, failed in votes):
        return Opinion(Status.FAIL)
    must(len(votes) >= wanted.min_pairs, "enough data")
    return poll(Status.PASS, votes, 0.0)


def shown(expectation: Expectation, scenario: Scenario, court: Court) -> Opinion:
    """Answers that people were shown, over answers; or the others, where the limit is a lower one."""
    window, run, wanted = ground(expectation, scenario, court), court.main, expectation.params
    complete(window)
    said = cases(run, "review")
    most = wanted.max is not None
    votes = [
        (row.position, row.scheduled_ns, (name(row, run, shared=keyed(scenario)) in said) is most)
        for row in in_time(expectation, run, window)
    ]
    return share(run, votes, wanted.max if most else round(1 - wanted.min, 12))


def keyed(scenario: Scenario) -> bool:
    """Second deliveries go by the first one's id."""
    return any(one.duplicate and one.duplicate.key for one in scenario.when)


def in_time(expectation: Expectation, run: Book, window: When) -> list[Row]:
    """The answers of the window that were there when the queue was read for the last time."""
    read = [note.at_ns for note in run.notes if note.kind == "queue" and not note.data["why"]]
    must(bool(read), "nobody read the queue")
    return [
        row
        for row in rows_of(expectation, run, window, expectation.of)
        if row.outcome == Outcome.OK and row.source != Source.REJECTED and row.replied_ns < max(read)
    ]


def cases(run: Book, kind: str) -> dict[tuple[str, int], dict[str, object]]:
    """(request's id, row) → what was said of it."""
    return {(data["id"], data["row"]): data for data in notes(run, kind)}

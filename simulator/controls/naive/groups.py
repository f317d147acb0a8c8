"""Who is sent to people, and which part of the population is worse off: votes, group by group."""

from __future__ import annotations

from simulator.controls.naive.court import Court, Opinion, must
from simulator.controls.naive.shares import Vote, share, sourced
from simulator.controls.naive.windows import complete, ground, rows_of
from simulator.history.schema import Outcome, Source
from simulator.scenario.model import Expectation, Scenario
from simulator.verdict import Status


def review(expectation: Expectation, scenario: Scenario, court: Court) -> Opinion:
    """Answers sent to people, over answers; or the others, where the limit is a lower one."""
    window = ground(expectation, scenario, court)
    complete(window)
    wanted = expectation.params
    rows = [
        row
        for row in rows_of(expectation, court.main, window, expectation.of)
        if row.outcome == Outcome.OK and row.source != Source.REJECTED
    ]
    must(not rows or any(row.decision for row in rows), "no decision")
    if wanted.max is None:
        votes = [(row.position, row.scheduled_ns, row.decision != wanted.decision) for row in rows]
        return share(court.main, votes, round(1 - wanted.min, 12))
    votes = [(row.position, row.scheduled_ns, row.decision == wanted.decision) for row in rows]
    return share(court.main, votes, wanted.max)


def fairness(expectation: Expectation, scenario: Scenario, court: Court) -> Opinion:
    """Each segment by itself: one that is refused refuses all, one that is open leaves all open."""
    window = ground(expectation, scenario, court)
    complete(window)
    sourced(court.main)
    segments: dict[str, list[Vote]] = {}
    for row in rows_of(expectation, court.main, window, expectation.of):
        model = row.outcome == Outcome.OK and row.source in (Source.MODEL, Source.CACHE)
        segments.setdefault(row.segment, []).append((row.position, row.scheduled_ns, not model))
    found = [share(court.main, votes, expectation.params.max) for votes in segments.values()]
    for status in (Status.FAIL, Status.UNKNOWN, Status.PASS):
        for each in found:
            if each.status is status:
                return each
    return Opinion(Status.UNKNOWN)

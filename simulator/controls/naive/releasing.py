"""Releases once more: who gave the answers after a promotion, and what a shadow or a switch left alone."""

from __future__ import annotations

from simulator.controls.naive.book import Row
from simulator.controls.naive.court import ERRORS, Court, Opinion, alike, mate, must
from simulator.controls.naive.premises import clean, noise
from simulator.controls.naive.shares import comparable, poll, share, tagged
from simulator.controls.naive.windows import When, ground, rows_of
from simulator.history.schema import NEVER, Outcome
from simulator.scenario.model import Expectation, Scenario
from simulator.verdict import Status


def promoted(expectation: Expectation, scenario: Scenario, court: Court) -> Opinion:
    """The hold after the deadline, request by request: who answered?"""
    window, run = ground(expectation, scenario, court), court.main
    must(window.complete, "run ended before the window")
    deadline = window.spans[-1][1]
    until = deadline + expectation.hold
    must(until <= run.header.end_ns, "run ended before the hold")
    rows = [row for row in run.rows if deadline <= row.scheduled_ns < until]
    tagged(run, rows)
    votes = []
    for request in dict.fromkeys(row.request for row in rows):
        whole = run.requests[request]
        if any(row.outcome != Outcome.OK for row in whole):
            continue
        ours = all(row.version == expectation.params.to for row in whole)
        votes.append((request, whole[0].scheduled_ns, not ours))
    return share(run, votes, round(1 - expectation.params.min, 12))


def shadow(expectation: Expectation, scenario: Scenario, court: Court) -> Opinion:
    """equal: replies and the time they took."""
    window, run = ground(expectation, scenario, court), court.main
    must(run.header.driver == "virtual", "real time")
    twin, noisy, _ = noise(court, scenario)
    rows, votes = rows_of(expectation, run, window, None), []
    tagged(run, rows)
    for row in rows:
        other = comparable(row, twin, noisy)
        if other is None:
            continue
        same = alike(row, other, court.tolerance) and row.version == other.version
        unheard = row.version != expectation.params.version
        votes.append((row.position, row.scheduled_ns, not (same and unheard and took(row) == took(other))))
    must(len(votes) >= 0.9 * len(rows), "hardly comparable")
    if any(failed for _, _, failed in votes):
        return Opinion(Status.FAIL)
    must(len(votes) >= max(1, expectation.params.min_pairs), "enough data")
    return poll(Status.PASS, votes, 0.0)


def took(row: Row) -> int:
    """The latency, from the scheduled send."""
    return NEVER if row.replied_ns == NEVER else row.replied_ns - row.scheduled_ns


def concerned(scenario: Scenario, court: Court, window: When) -> tuple[list[Row], list[Row]]:
    """The rows that were open when the window began, and those that were sent in it."""
    start, open_then, sent = window.spans[0][0], [], []
    for row in court.main.rows:
        closed = row.scheduled_ns + scenario.given.traffic.timeout if row.replied_ns == NEVER else row.replied_ns
        if row.scheduled_ns in window:
            sent.append(row)
        elif row.scheduled_ns < start <= closed:
            open_then.append(row)
    return open_then, sent


def lossless(expectation: Expectation, scenario: Scenario, court: Court) -> Opinion:
    """never: lost, or answered by no version, an unknown one, or two."""
    window, run = ground(expectation, scenario, court), court.main
    twin = clean(court, scenario)
    open_then, sent = concerned(scenario, court, window)
    tagged(run, [*open_then, *sent])
    known = [scenario.given.serving] + [e.params.version for e in scenario.when if e.release or e.retrain]
    gone = {*ERRORS, Outcome.SHED}
    for row in [*open_then, *sent]:
        other = mate(row, twin)
        if row.outcome in gone and (other is None or other.outcome not in gone):
            return Opinion(Status.FAIL)
        versions = {each.version for each in run.requests[row.request] if each.outcome == Outcome.OK}
        if row.outcome == Outcome.OK and (len(versions) > 1 or row.version not in known):
            return Opinion(Status.FAIL)
    must(bool(open_then), "nothing in flight")
    must(window.complete, "run ended before the window")
    return Opinion(Status.PASS)

"""Who is sent to people, and which part of the population is worse off: votes, group by group."""

from __future__ import annotations

from math import sqrt
from typing import Final

from simulator.controls.naive.book import Row
from simulator.controls.naive.court import Court, Opinion, must
from simulator.controls.naive.shares import Vote, poll, share, sourced
from simulator.controls.naive.windows import complete, ground, rows_of
from simulator.history.schema import Outcome, Source
from simulator.scenario.model import Expectation, Scenario
from simulator.verdict import Status

Z: Final = 2.3263478740408408  # the normal distribution's 99 % quantile


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
    runs = [court.main, court.twin] if court.twin else [court.main]
    must(not rows or any(row.decision == wanted.decision for run in runs for row in run.rows), "nobody ever decides so")
    votes = [(row.position, row.scheduled_ns, row.decision == wanted.decision) for row in rows]
    return share(court.main, votes, wanted.max)


def group_errors(expectation: Expectation, scenario: Scenario, court: Court) -> Opinion:
    """Each group beside all the others: how much more often it is wronged, at most and at least."""
    window = ground(expectation, scenario, court)
    complete(window)
    answered = [row for row in court.main.rows if row.outcome == Outcome.OK and row.source != Source.REJECTED]
    must(not answered or any(row.decision for row in answered), "no decision")
    must(court.main.header.driver == "virtual", "rows of real time are not independent")
    votes = wronged(expectation, rows_of(expectation, court.main, window, expectation.of))
    runs = [court.main, court.twin] if court.twin else [court.main]
    spelled = any(row.decision == expectation.params.approve for run in runs for row in run.rows)
    must(not votes or spelled, "nobody is ever approved")
    counts = {name: (sum(bad for *_, bad in group), len(group)) for name, group in votes.items()}
    status = apart(counts, expectation.params.gap, expectation.params.min_rows)
    # Of a verdict that is sure, the group that is nearest to the limit.
    near = max(votes, key=lambda name: between(counts, name)[1]) if status is Status.PASS else ""
    return poll(status, votes.get(near, []), expectation.params.gap)


def wronged(expectation: Expectation, rows: list[Row]) -> dict[str, list[Vote]]:
    """Group → its rows of the truth that the error is about, and whether the decision was wrong."""
    wanted = expectation.params
    negatives = wanted.of == "false_positive"
    found: dict[str, list[Vote]] = {}
    for row in rows:
        decided = row.outcome == Outcome.OK and row.source != Source.REJECTED and row.decision
        if decided and row.truth == (0 if negatives else 1):
            approved = row.decision == wanted.approve
            vote = (row.position, row.scheduled_ns, not approved if negatives else approved)
            found.setdefault(row.segment, []).append(vote)
    return found


def between(counts: dict[str, tuple[int, int]], name: str) -> tuple[float, float]:
    """99 % bounds of a group's rate less that of all the others."""
    k, n = counts[name]
    j, m = (sum(each[i] for other, each in counts.items() if other != name) for i in (0, 1))
    low, high = score_bound(k, n, down=True), score_bound(k, n, down=False)
    below, above = score_bound(j, m, down=True), score_bound(j, m, down=False)
    gap = k / n - j / m
    return gap - sqrt((k / n - low) ** 2 + (above - j / m) ** 2), gap + sqrt((high - k / n) ** 2 + (j / m - below) ** 2)


def apart(counts: dict[str, tuple[int, int]], gap: float, fewest: int) -> Status:
    """What these counts say."""
    whole = sum(n for _, n in counts.values())
    judged = [name for name, (_, n) in counts.items() if n >= fewest and whole - n >= fewest]
    bounds = [between(counts, name) for name in judged]
    if any(low > gap + 1e-12 for low, _ in bounds):
        return Status.FAIL
    if not bounds or len(judged) < len(counts) or any(high > gap + 1e-12 for _, high in bounds):
        return Status.UNKNOWN
    return Status.PASS


def score_bound(failures: int, trials: int, *, down: bool) -> float:
    """The share at which the observed one is 2.326 standard errors off, by halving (Wilson)."""
    seen = failures / trials
    inner, outer = seen, 0.0 if down else 1.0
    for _ in range(200):
        middle = (inner + outer) / 2
        within = (seen - middle) ** 2 <= Z**2 * middle * (1 - middle) / trials
        inner, outer = (middle, outer) if within else (inner, middle)
    return inner


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

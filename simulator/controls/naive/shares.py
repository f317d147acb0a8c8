"""S5 and S8 once more: votes, one row or one request after the other."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from math import isfinite

from simulator.controls.naive.book import Book, Row
from simulator.controls.naive.court import ERRORS, NOISE, Court, Opinion, alike, equal, mate, must
from simulator.controls.naive.premises import event, noise, punctual
from simulator.controls.naive.tails import by_blocks, by_tails
from simulator.controls.naive.windows import When, complete, ground, requests_of, rows_of
from simulator.history.schema import NEVER, Outcome, Source
from simulator.scenario.model import Expectation, Scenario
from simulator.verdict import Status

Vote = tuple[int, int, bool]  # who, when, failed


def share(run: Book, votes: list[Vote], limit: float) -> Opinion:
    """S5."""
    counted = poll(Status.UNKNOWN, votes, limit)
    return replace(counted, status=split(run, counted.moments, counted.failed, limit))


def poll(status: Status, votes: list[Vote], limit: float) -> Opinion:
    """An opinion with its votes."""
    voters, moments, failed = zip(*votes, strict=True) if votes else ((), (), ())
    return Opinion(status, voters, moments, failed, limit)


def split(run: Book, moments: Sequence[int], failed: Sequence[bool], limit: float) -> Status:
    """The vote, counted: the exact interval, and blocks too where replies are not independent."""
    if not failed:
        return Status.UNKNOWN
    status = by_tails(sum(failed), len(failed), limit)
    if run.header.driver != "virtual":
        length_ns = 10 * 10**9 if run.header.end_ns >= 300 * 10**9 else 10**9  # S5, closed for short live runs
        if by_blocks(moments, failed, limit, length_ns) is not status:
            return Status.UNKNOWN
    return status


def per_request(
    expectation: Expectation,
    scenario: Scenario,
    court: Court,
    limit: float,
    *,
    failed: AbstractSet[int],
    dropped: AbstractSet[int] = frozenset(),
) -> Opinion:
    """A share over requests: those that failed, of those that were not dropped."""
    window = ground(expectation, scenario, court)
    complete(window)
    whole = court.main.requests
    votes = [
        (request, whole[request][0].scheduled_ns, request in failed)
        for request in requests_of(expectation, court.main, window)
        if request not in dropped
    ]
    return share(court.main, votes, limit)


def error_rate(expectation: Expectation, scenario: Scenario, court: Court) -> Opinion:
    """5xx, timeout, reset, unparseable, missing, over scheduled."""
    failed = {row.request for row in court.main.rows if row.outcome in ERRORS}
    return per_request(expectation, scenario, court, expectation.params.max, failed=failed)


def shed(expectation: Expectation, scenario: Scenario, court: Court) -> Opinion:
    """Refused for load, over scheduled."""
    failed = {row.request for row in court.main.rows if row.outcome == Outcome.SHED}
    return per_request(expectation, scenario, court, expectation.params.max, failed=failed)


def latency(expectation: Expectation, scenario: Scenario, court: Court) -> Opinion:
    """Over the limit from the scheduled send, or never; of what was neither rejected nor shed."""
    quantile, limit_ns = expectation.params.quantile
    failed = {
        row.request
        for row in court.main.rows
        if row.outcome in ERRORS or row.replied_ns == NEVER or row.replied_ns - row.scheduled_ns > limit_ns
    }
    dropped = {row.request for row in court.main.rows if row.outcome in (Outcome.REJECT, Outcome.SHED)}
    punctual(court.main, min(100 * 10**6, limit_ns // 10))
    return per_request(expectation, scenario, court, round(1 - quantile, 12), failed=failed, dropped=dropped)


def clean_reject(expectation: Expectation, scenario: Scenario, court: Court) -> Opinion:
    """Of what came back as a refusal or an error, that which shows more than it should."""
    told = {row.request for row in court.main.rows if row.outcome in (Outcome.REJECT, Outcome.SHED, Outcome.ERROR)}
    quiet = {row.request for row in court.main.rows if row.request not in told}
    shown = {row.request for row in court.main.rows if row.leak}
    limit = round(1 - expectation.params.min, 12)
    return per_request(expectation, scenario, court, limit, failed=shown, dropped=quiet)


def answered(expectation: Expectation, scenario: Scenario, court: Court) -> Opinion:
    """A usable score for every row that was not refused by itself, and for one row at least."""
    usable = {row.request for row in court.main.rows if isfinite(row.score)}
    failed = {
        row.request
        for row in court.main.rows
        if row.outcome != Outcome.OK
        or row.request not in usable
        or (not isfinite(row.score) and row.source != Source.REJECTED)
    }
    return per_request(expectation, scenario, court, round(1 - expectation.params.min, 12), failed=failed)


def tagged(run: Book, rows: list[Row]) -> None:
    """All but 0.1 % of the answers name their version."""
    versions = [row.version for row in rows if row.outcome == Outcome.OK]
    must(sum(not version for version in versions) <= NOISE * len(versions), f"{run.header.role}: no version")


def exposure(expectation: Expectation, scenario: Scenario, court: Court) -> Opinion:
    """Requests that this version answered, over requests answered."""
    window = ground(expectation, scenario, court)
    tagged(court.main, [row for row in court.main.rows if row.scheduled_ns in window])

    wanted = expectation.params
    if wanted.by == "customer":
        return customers(expectation, court, window)
    dropped = {row.request for row in court.main.rows if row.outcome != Outcome.OK}
    if wanted.min is None:
        served = {row.request for row in court.main.rows if row.version == wanted.version}
        return per_request(expectation, scenario, court, wanted.max, failed=served, dropped=dropped)
    others = {row.request for row in court.main.rows if row.version != wanted.version}
    return per_request(expectation, scenario, court, round(1 - wanted.min, 12), failed=others, dropped=dropped)


def customers(expectation: Expectation, court: Court, window: When) -> Opinion:
    """Customers that this version ever answered, over customers answered; each votes where its first answer stands."""
    complete(window)
    wanted, votes = expectation.params, []
    answered = [r for r in rows_of(expectation, court.main, window, expectation.of) if r.outcome == Outcome.OK]
    met = {row.entity for row in answered if row.version == wanted.version}
    seen: set[int] = set()
    for row in answered:
        if row.entity not in seen:
            seen.add(row.entity)
            votes.append((row.position, row.scheduled_ns, row.entity in met))
    return share(court.main, votes, wanted.max)


def sourced(run: Book) -> None:
    """If anything was answered, at least one answer says where it came from."""
    sources = [row.source for row in run.rows if row.outcome == Outcome.OK]
    must(not sources or any(sources), "no source")


def fallback(expectation: Expectation, scenario: Scenario, court: Court) -> Opinion:
    """Rows that the fallback answered, over rows scheduled."""
    window = ground(expectation, scenario, court)
    complete(window)
    sourced(court.main)
    votes = []
    for row in rows_of(expectation, court.main, window, expectation.of):
        fell_back = row.outcome == Outcome.OK and row.source == Source.FALLBACK and isfinite(row.score)
        votes.append((row.position, row.scheduled_ns, not fell_back))
    return share(court.main, votes, round(1 - expectation.params.min, 12))


def handled(expectation: Expectation, scenario: Scenario, court: Court) -> Opinion:
    """S8, for the rows that were really changed."""
    window = ground(expectation, scenario, court)
    complete(window)
    twin, _, _ = noise(court, scenario)
    of = expectation.of
    selective = of not in (None, "untouched") and scenario.event(str(of)).layer != "service"
    bit = 1 << event(court.main, str(of)).index if selective else 0
    params, votes = expectation.params, []
    for row in rows_of(expectation, court.main, window, of):
        if selective and not row.potent & bit:
            continue
        ways = fate(row, mate(row, twin), court.tolerance)
        if ways is not None:
            votes.append((row.position, row.scheduled_ns, ways.isdisjoint(params.by)))
    return share(court.main, votes, round(1 - params.min, 12))


def fate(row: Row, other: Row | None, tolerance: float) -> set[str] | None:
    """The ways in which a row was handled, empty if in none; None if nobody can know."""
    if row.outcome == Outcome.REJECT:
        return {"reject"}
    if row.outcome != Outcome.OK:
        return set()
    if row.source == Source.REJECTED:
        return {"reject"}
    if not isfinite(row.score):
        return set()
    ways = set()
    answer = other if other is not None and other.outcome == Outcome.OK else None
    if answer is not None and equal(row.score, answer.score, tolerance):
        ways.add("repair")
    always = answer is not None and answer.source == row.source and answer.reasons == row.reasons and row.reasons
    if not always and row.source == Source.DEFAULT:
        ways.add("default")
    if not always and row.source == Source.FALLBACK:
        ways.add("fallback")
    if not ways and (other is None or other.outcome not in (Outcome.OK, Outcome.REJECT)):
        return None
    return ways


def harmed(expectation: Expectation, scenario: Scenario, court: Court) -> Opinion:
    """S8: rows that were left alone and got another answer all the same."""
    window = ground(expectation, scenario, court)
    complete(window)
    twin, noisy, _ = noise(court, scenario)
    rows, votes = rows_of(expectation, court.main, window, expectation.of or "untouched"), []
    for row in rows:
        other = comparable(row, twin, noisy)
        if other is not None and other.outcome in (Outcome.OK, Outcome.REJECT):
            votes.append((row.position, row.scheduled_ns, not alike(row, other, court.tolerance)))
    must(len(votes) >= 0.9 * len(rows), "hardly comparable")
    return share(court.main, votes, expectation.params.max)


def comparable(row: Row, twin: Book, noisy: set[tuple[str, int, int]]) -> Row | None:
    """The twin's row, unless clean runs disagree on it."""
    other = mate(row, twin)
    return None if other is None or (other.stream, other.number, other.copy) in noisy else other

"""S2 once more: what must come true, and stay so."""

from __future__ import annotations

from math import isfinite

from simulator.controls.naive.book import Book
from simulator.controls.naive.court import ERRORS, SECOND, Court, Opinion, mate, must
from simulator.controls.naive.premises import clean, event
from simulator.controls.naive.shares import sourced, tagged
from simulator.controls.naive.windows import ground
from simulator.history.schema import NEVER, Outcome, Source
from simulator.scenario.model import Expectation, Scenario
from simulator.verdict import Status


def settles(bad: list[tuple[int, int]], start: int, deadline: int, hold: int, horizon: int) -> Status:
    """S2 converge: a moment in [start, deadline) from which 10 s buckets, enough for `hold`, have nothing bad."""
    buckets = max(1, (hold + 10 * SECOND - 1) // (10 * SECOND))
    moment = start
    for begins, ends in sorted(bad):
        if ends <= moment:
            continue
        if begins >= moment + buckets * 10 * SECOND:
            break
        moment = ends
    if moment >= deadline:
        return Status.FAIL
    return Status.PASS if moment + buckets * 10 * SECOND <= horizon else Status.UNKNOWN


def lasting(court: Court, start: int, hold: int) -> None:
    """At least 30 answers in the hold."""
    answers = [r for r in court.main.rows if r.outcome == Outcome.OK and start <= r.scheduled_ns < start + hold]
    must(len(answers) >= 30, "enough data")  # noqa: PLR2004 - a number of the law


def recovers(expectation: Expectation, scenario: Scenario, court: Court) -> Opinion:
    """converge: no error, no shed; for `model` also none but the usual sources."""
    window = ground(expectation, scenario, court)
    model = expectation.params.to == "model"
    if model:
        sourced(court.main)
    twin = clean(court, scenario) if model else None
    bad = []
    for row in court.main.rows:
        wrong = row.outcome in ERRORS or row.outcome == Outcome.SHED
        if twin is not None and row.outcome == Outcome.OK:
            other = mate(row, twin)
            usual = other is not None and other.outcome == Outcome.OK and other.source == row.source
            of_model = row.source in (Source.MODEL, Source.CACHE) and isfinite(row.score)
            wrong = not (usual or of_model)
        if wrong:
            bad.append((row.scheduled_ns, row.scheduled_ns + 1))
    start, deadline, hold = window.spans[0][0], window.spans[-1][1], expectation.hold
    status = settles(bad, start, deadline, hold, court.main.header.end_ns)
    if status is Status.PASS:
        moment, step = start, -(-max(hold, 1) // (10 * SECOND)) * 10 * SECOND
        for begins, ends in sorted(bad):
            if moment <= begins < moment + step:
                moment = ends
        lasting(court, moment, hold)
    return Opinion(status)


def next_release(expectation: Expectation, scenario: Scenario, run: Book) -> int:
    """When another release begins, or the run ends: from then on another version may answer."""
    own = event(run, str(expectation.after).replace(".end", "")).start_ns if expectation.after else 0
    releases = [event(run, one.event).start_ns for one in scenario.when if one.verb == "release"]
    return min([at for at in releases if at > own] or [run.header.end_ns])


def rollback(expectation: Expectation, scenario: Scenario, court: Court) -> Opinion:
    """converge, for good: another version answered, then never again; nothing in flight was lost."""
    window = ground(expectation, scenario, court)
    to, run = expectation.params.to, court.main
    horizon = next_release(expectation, scenario, run)
    start, deadline = window.spans[0][0], window.spans[-1][1]
    tagged(run, [row for row in run.rows if start <= row.scheduled_ns < horizon])
    last = None
    for row in run.rows:
        inside = start <= row.scheduled_ns < horizon
        if inside and row.outcome == Outcome.OK and row.version != to:
            last = max(row.scheduled_ns, last if last is not None else 0)
    if last is None or last + 1 >= deadline:
        return Opinion(Status.FAIL)
    for row in run.rows:
        closed = row.scheduled_ns + scenario.given.traffic.timeout if row.replied_ns == NEVER else row.replied_ns
        open_then = row.scheduled_ns < last + 1 + 10 * SECOND and closed >= last + 1
        if row.outcome in ERRORS and open_then:
            other = mate(row, court.twin) if court.twin is not None else None
            if other is None or other.outcome not in ERRORS:
                return Opinion(Status.FAIL)
    must(last + 1 + expectation.hold <= min(run.header.end_ns, horizon), "run too short")
    lasting(court, last + 1, expectation.hold)
    return Opinion(Status.PASS)


def readiness(expectation: Expectation, scenario: Scenario, court: Court) -> Opinion:
    """eventually: the endpoint said so in the window, and had said otherwise before."""
    window, run = ground(expectation, scenario, court), court.main
    start, deadline = window.spans[0][0], window.spans[-1][1]
    said = sorted((note.at_ns, note.data["ready"]) for note in run.notes if note.kind == "ready")
    must(any(at <= start for at, _ in said), "never asked before")
    last, until = start, min(deadline, run.header.end_ns)
    earlier = max(at for at, _ in said if at <= start)
    for at in [earlier, *(at for at, _ in said if start < at < until), until]:
        must(at - max(last, earlier) <= 120 * SECOND or at <= start, "not asked for too long")
        last = at
    first = [ready for at, ready in said if at <= start][-1]
    if expectation.params.to == "ready_throughout":
        if not first or any(not ready for at, ready in said if start < at < deadline):
            return Opinion(Status.FAIL)
        return Opinion(Status.PASS if window.complete else Status.UNKNOWN)
    if expectation.params.to == "unready":
        must(first, "unready before")
        found = any(not ready for at, ready in said if start <= at < deadline)
    else:
        must(any(not ready for at, ready in said if at < deadline), "never unready")
        found = first or any(ready for at, ready in said if start <= at < deadline)
    if found:
        return Opinion(Status.PASS)
    return Opinion(Status.FAIL if window.complete else Status.UNKNOWN)


def refuses(expectation: Expectation, scenario: Scenario, court: Court) -> Opinion:
    """never: another answer to the release than a refusal, or a reply by that version."""
    window, run = ground(expectation, scenario, court), court.main
    version = expectation.params.version
    actions = [note for note in run.notes if note.kind == "action" and note.data["what"] == f"release {version}"]
    actions = [note for note in actions if note.at_ns in window]
    must(bool(actions), "no action")
    rows = [row for row in run.rows if row.scheduled_ns >= window.spans[0][0]]
    tagged(run, rows)
    accepted = any(not 400 <= note.data["status"] < 500 for note in actions)  # noqa: PLR2004 - HTTP's client errors
    served = any(row.outcome == Outcome.OK and row.version == version for row in rows)
    if accepted or served:
        return Opinion(Status.FAIL)
    return Opinion(Status.PASS if window.complete else Status.UNKNOWN)

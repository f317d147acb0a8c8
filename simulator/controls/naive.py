"""The naive judge: a second implementation of the semantics, slow and obvious, to hold against the first.

It shares no code with the checks: plain loops over plain rows, one paragraph of the law after the other. It is the
oracle of the tests, and it gives the sizes of the edits by which controls see an expectation red (S10).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from math import isfinite, nan
from typing import Any, Final

from simulator.controls.book import Book, Row, book
from simulator.controls.tails import by_blocks, by_tails
from simulator.history.schema import NEVER, AlertRecord, EventRecord, History, Note, Outcome, Source
from simulator.scenario.model import AlertIs, Expectation, Scenario
from simulator.verdict import Status

SECOND: Final = 10**9
MINUTE: Final = 60 * SECOND
NOISE: Final = 0.001
ERRORS: Final = {Outcome.ERROR, Outcome.TIMEOUT, Outcome.RESET, Outcome.UNPARSEABLE, Outcome.MISSING}


class Doubt(Exception):  # noqa: N818 - it is one: the answer is UNKNOWN
    """Something that must be so for a verdict is not."""


@dataclass(frozen=True)
class Opinion:
    """What the naive judge makes of it.

    Of shares also the votes: `voters` are requests by ordinal or rows by position, in the order of `moments`;
    `failed` says which of them failed, and `limit` how large a share may.
    """

    status: Status
    voters: tuple[int, ...] = ()
    moments: tuple[int, ...] = ()
    failed: tuple[bool, ...] = ()
    limit: float = 0.0

    @property
    def failures(self) -> int:
        """How many failed."""
        return sum(self.failed)

    @property
    def trials(self) -> int:
        """How many voted."""
        return len(self.failed)

    @cached_property
    def innocent(self) -> list[int]:
        """Which votes are not failures, by position."""
        return [i for i, failed in enumerate(self.failed) if not failed]


@dataclass(frozen=True)
class Court:
    """The evidence, as books. `read` makes one; the same one serves all expectations."""

    main: Book
    twin: Book | None
    aa: Book | None
    tolerance: float = 0.0

    @cached_property
    def disagreement(self) -> tuple[set[tuple[str, int, int]], int]:
        """S8: the rows on which the two clean runs disagree, and how many were compared."""
        pairs, noisy = 0, set()
        for row in self.twin.rows if self.twin else ():
            other = mate(row, self.aa) if self.aa else None
            if other is not None:
                pairs += 1
                if not alike(row, other, self.tolerance):
                    noisy.add((row.stream, row.number, row.copy))
        return noisy, pairs


def read(main: History, twin: History | None, aa: History | None, tolerance: float = 0.0) -> Court:
    """Read the histories, once."""
    return Court(book(main), book(twin) if twin else None, book(aa) if aa else None, tolerance)


def opinion(expectation: Expectation, scenario: Scenario, court: Court) -> Opinion:
    """Judge one expectation; Doubt of any kind is UNKNOWN. Other exceptions are defects and come through."""
    try:
        return FAMILIES[expectation.family](expectation, scenario, court)
    except Doubt:
        return Opinion(Status.UNKNOWN)


# ---------------------------------------------------------------- premises


def must(holds: bool, what: str) -> None:  # noqa: FBT001 - reads as a sentence
    """Doubt unless it holds."""
    if not holds:
        raise Doubt(what)


def notes(run: Book, kind: str) -> list[dict[str, Any]]:
    """The data of all notes of a kind."""
    return [note.data for note in run.notes if note.kind == kind]


def sound(run: Book, scenario: Scenario, lag_ns: int = 100 * 10**6) -> None:
    """S3, S9: nothing of the harness broke, the state was steady, the driver on time, the end healed."""
    must(not notes(run, "harness"), "harness")
    steady = notes(run, "steady_state")
    must(all(data.get("holds") is True for data in steady), "steady")
    must(bool(steady) or not scenario.given.steady_state, "steady state never judged")
    punctual(run, lag_ns)
    heals = notes(run, "heal")
    must(all(data.get("healed") is True for data in heals), "healed")
    must(bool(heals) or not scenario.when, "never healed")


def punctual(run: Book, lag_ns: int) -> None:
    """The driver kept its schedule."""
    lags = notes(run, "driver")
    must(bool(lags), "lag not on record")
    for data in lags:
        must(data["late_p99_ns"] <= lag_ns and data["late_max_ns"] <= SECOND, "driver late")


def event(run: Book, name: str) -> EventRecord:
    """The record of an event."""
    must(name in run.events, "no record")
    return run.events[name]


def needed(expectation: Expectation, scenario: Scenario) -> list[str]:
    """S3: the events whose receipts an expectation needs."""
    asked = [expectation]
    asked += [scenario.expectation(other) for other in (expectation.resolved, expectation.at) if other]
    names: list[str] = []
    for one in asked:
        names += [name for name in (one.during, one.outside, one.of) if name]
        names += [one.after.replace(".end", "")] if one.after else []
    untouched = "untouched" in names or (expectation.family == "harmed" and not expectation.of)
    everything = [one.event for one in scenario.when]
    return everything if untouched or not names else [name for name in everything if name in names]


def received(run: Book, name: str) -> None:
    """S7: the event happened, got there, and had an effect."""
    record = event(run, name)
    must(record.supported, "unsupported")
    must(record.planned > 0 and record.start_ns != NEVER, "never happened")
    must(record.delivered >= 0.99 * record.planned, "not delivered")
    must(record.potent > 0 and record.potent >= 0.5 * record.delivered, "impotent")


def watched(run: Book, spans: list[tuple[int, int]]) -> None:
    """S3: on one route, heartbeats at most 3 min apart throughout all the spans."""
    end_ns = run.header.end_ns
    routes = {note.data.get("route", "") for note in run.notes if note.kind == "heartbeat"}
    for route in routes:
        beats = [n.at_ns for n in run.notes if n.kind == "heartbeat" and n.data.get("route", "") == route]
        good = True
        for start, end in spans:
            good = good and any(start - 3 * MINUTE <= at <= end + 3 * MINUTE for at in beats)
            last = None
            for at in sorted([*beats, 0, end_ns]):
                if last is not None and at - last > 3 * MINUTE and last < end and at > start:
                    good = False
                last = at
        if good:
            return
    raise Doubt("nobody watched")


def clean(court: Court, scenario: Scenario) -> Book:
    """S9: the twin, itself a sound run."""
    if court.twin is None:
        raise Doubt("no twin")
    sound(court.twin, scenario.clean())
    return court.twin


def alike(a: Row, b: Row, tolerance: float) -> bool:
    """S8: the same outcome and, if answered, the same score and decision."""
    if a.outcome != b.outcome:
        return False
    if a.outcome != Outcome.OK:
        return True
    both_absent = not isfinite(a.score) and not isfinite(b.score)
    return (both_absent or equal(a.score, b.score, tolerance)) and a.decision == b.decision


def equal(a: float, b: float, tolerance: float) -> bool:
    """Two scores that are there and no further apart than the tolerance."""
    return isfinite(a) and isfinite(b) and abs(a - b) <= tolerance


def mate(row: Row, other: Book) -> Row | None:
    """The same row in another run; of a duplicate the original will do."""
    return other.by_key.get((row.stream, row.number, row.copy)) or other.by_key.get((row.stream, row.number, 0))


def noise(court: Court, scenario: Scenario) -> tuple[Book, set[tuple[str, int, int]], int]:
    """S8: the twin, the rows on which two clean runs disagree (0.1 % at most), and the pairs compared."""
    twin = clean(court, scenario)
    if court.aa is None:
        raise Doubt("no second clean run")
    sound(court.aa, scenario.clean())
    noisy, pairs = court.disagreement
    must(pairs > 0 and len(noisy) / pairs <= NOISE, "not reproducible")
    return twin, noisy, pairs


# ---------------------------------------------------------------- windows


@dataclass(frozen=True, slots=True)
class When:
    """Spans of a window, and whether the run saw the last of it."""

    spans: list[tuple[int, int]]
    complete: bool

    def __contains__(self, at: int) -> bool:
        return any(start <= at < end for start, end in self.spans)


class Clauses:
    """The conditions on an instant, and the instants at which one of them changes its mind."""

    def __init__(self, horizon: int) -> None:
        self.horizon = horizon
        self.tests: list[Callable[[int], bool]] = []
        self.edges = {0, horizon}

    def between(self, start: int, end: int) -> None:
        """In [start, end)."""
        self.edges.update((start, end))
        self.tests.append(lambda at: start <= at < end)

    def beyond(self, start: int, end: int) -> None:
        """In the run, and not in [start, end)."""
        self.edges.update((start, end))
        self.tests.append(lambda at: 0 <= at < self.horizon and not start <= at < end)

    def spans(self) -> list[tuple[int, int]]:
        """Where they all hold: cut at every edge, then joined again."""
        joined: list[tuple[int, int]] = []
        for a, b in pairwise(sorted(self.edges)):
            if not all(test(a) for test in self.tests):
                continue
            if joined and joined[-1][1] == a:
                joined[-1] = (joined[-1][0], b)
            else:
                joined.append((a, b))
        return joined


def when(expectation: Expectation, scenario: Scenario, run: Book) -> When:
    """S1: an instant is in the window if every key agrees."""
    names = needed(expectation, scenario)
    for name in names:
        received(run, name)
    planned = clauses(expectation, scenario, run).spans()
    horizon = run.header.end_ns
    spans = [(a, b) for a, b in planned if a < horizon]
    must(bool(spans), "nothing left of the window")
    late = max(SECOND, sum(b - a for a, b in spans) // 100)
    for name in names:
        due, record = scenario.event(name), event(run, name)
        declared = due.late.by if due.late else due.duplicate.after if due.duplicate else 0
        must(due.at <= record.start_ns <= due.at + declared + late, "event late")
    return When(spans, all(b <= horizon for _, b in planned))


def clauses(expectation: Expectation, scenario: Scenario, run: Book) -> Clauses:
    """What `after`, `within`, `during` and `outside` say of an instant."""
    horizon, settle = run.header.end_ns, expectation.settle
    found = Clauses(horizon)
    if expectation.after or expectation.within is not None:
        start = 0
        if expectation.after:
            record = event(run, expectation.after.replace(".end", ""))
            start = record.end_ns if expectation.after.endswith(".end") else record.start_ns
        found.between(start, horizon if expectation.within is None else start + expectation.within)
    if expectation.during:
        record = event(run, expectation.during)
        found.between(record.start_ns + settle, record.end_ns)
    if expectation.outside:
        record = event(run, expectation.outside)
        found.beyond(record.start_ns, record.end_ns + settle)
    if not found.tests and expectation.family == "no_alert":
        for one in scenario.when:
            record = event(run, one.event)
            found.beyond(record.start_ns, record.end_ns + settle)
    if not found.tests:
        found.between(0, horizon)
    return found


def ground(expectation: Expectation, scenario: Scenario, court: Court) -> When:
    """What every expectation needs."""
    sound(court.main, scenario)
    return when(expectation, scenario, court.main)


def rows_of(expectation: Expectation, run: Book, window: When, of: str | None) -> list[Row]:
    """S1: the rows that an expectation speaks of."""
    rows = [row for start, end in window.spans for row in run.rows if start <= row.scheduled_ns < end]
    if of is None:
        return rows
    if of == "untouched":
        return [row for row in rows if not row.touched]
    record = event(run, of)
    bit, settled = 1 << record.index, record.start_ns + expectation.settle
    return [row for row in rows if row.touched & bit and row.scheduled_ns >= settled]


def requests_of(expectation: Expectation, run: Book, window: When) -> list[int]:
    """The requests that an expectation speaks of: all their rows untouched, or any row of the event."""
    chosen = Counter([row.request for row in rows_of(expectation, run, window, expectation.of)])
    if expectation.of != "untouched":
        return list(chosen)
    return [request for request, count in chosen.items() if count == len(run.requests[request])]


# ---------------------------------------------------------------- shares


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
    if run.header.driver != "virtual" and by_blocks(moments, failed, limit) is not status:
        return Status.UNKNOWN
    return status


def complete(window: When) -> None:
    """A share speaks of a window that is over."""
    must(window.complete, "run ended before the window")


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

    version = expectation.params.version
    dropped = {row.request for row in court.main.rows if row.outcome != Outcome.OK}
    served = {row.request for row in court.main.rows if row.version == version}
    return per_request(expectation, scenario, court, expectation.params.max, failed=served, dropped=dropped)


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


# ---------------------------------------------------------------- alerts


@dataclass(slots=True)
class Siren:
    """One alert, from its onset to its end; None while it fires."""

    fingerprint: str
    onset: int
    end: int | None

    def during(self, start: int, end: int) -> bool:
        """It fires at some time of [start, end)."""
        return self.onset < end and (self.end is None or self.end > start)


def sirens(records: tuple[AlertRecord, ...], selector: AlertIs) -> list[Siren]:
    """S6: one fingerprint from firing to resolved; gaps under five minutes do not count."""

    def wanted(record: AlertRecord) -> bool:
        return (
            record.name.lower() not in {"watchdog", "heartbeat"}
            and selector.name in (None, record.name)
            and selector.field in (None, record.field)
            and selector.severity in (None, record.severity)
        )

    found: list[Siren] = []
    for fingerprint in {record.fingerprint for record in records}:
        mine = [r for r in records if r.fingerprint == fingerprint and (not r.firing or wanted(r))]
        last: Siren | None = None
        for record in sorted(mine, key=lambda r: (r.at_ns, r.firing)):
            if not record.firing:
                if last is not None and last.end is None:
                    last.end = record.at_ns
            elif last is not None and (last.end is None or record.at_ns - last.end < 5 * MINUTE):
                last.end = None
            else:
                last = Siren(fingerprint, record.at_ns, None)
                found.append(last)
    return found


def clipped(spans: list[tuple[int, int]], run: Book) -> list[tuple[int, int]]:
    """As much of the spans as there was a run."""
    return [(a, min(b, run.header.end_ns)) for a, b in spans if a < run.header.end_ns]


def paged(expectation: Expectation, scenario: Scenario, court: Court) -> tuple[When, list[Siren]]:
    """The window and the episodes of an alert expectation, unless S6 forbids to judge by them."""
    window = ground(expectation, scenario, court)
    twin = clean(court, scenario)
    selector = expectation.alert or AlertIs()
    start, end = window.spans[0][0], window.spans[-1][1]
    watched(court.main, clipped([(start, horizon_of_once(expectation, court.main, end))], court.main))
    watched(twin, clipped([(start, end)], twin))
    found = sirens(court.main.alerts, selector)
    must(not any(s.onset < start and (s.end is None or s.end > start) for s in found), "firing before")
    if any(start <= s.onset < end for s in found):
        must(not any(s.during(start, end) for s in sirens(twin.alerts, selector)), "not attributable")
    return window, found


def horizon_of_once(expectation: Expectation, run: Book, end: int) -> int:
    """`once` looks as far as the event lasts."""
    if not expectation.once or not expectation.after:
        return end
    return max(end, event(run, expectation.after.replace(".end", "")).end_ns)


def alert(expectation: Expectation, scenario: Scenario, court: Court) -> Opinion:
    """eventually: an onset in the window; with `once`, no second one."""
    window, found = paged(expectation, scenario, court)
    start, end = window.spans[0][0], window.spans[-1][1]
    if not any(start <= siren.onset < end for siren in found):
        return Opinion(Status.FAIL if window.complete else Status.UNKNOWN)
    until = horizon_of_once(expectation, court.main, end)
    if expectation.once and sum(start <= siren.onset < until for siren in found) > 1:
        return Opinion(Status.FAIL)
    return Opinion(Status.PASS)


def resolved(expectation: Expectation, scenario: Scenario, court: Court) -> Opinion:
    """converge: the episode came, and some time before the deadline it is over for `hold`."""
    window = ground(expectation, scenario, court)
    paging = scenario.expectation(str(expectation.resolved))
    due = when(paging, scenario, court.main)
    start, deadline = window.spans[0][0], window.spans[-1][1]
    first, last = due.spans[0][0], due.spans[-1][1]
    watched(court.main, clipped([(first, last), (start, deadline + expectation.hold)], court.main))
    found = sirens(court.main.alerts, paging.alert or AlertIs())
    must(not any(s.onset < first and (s.end is None or s.end > first) for s in found), "firing before")
    onsets = [siren.onset for siren in found if first <= siren.onset < last]
    if not onsets:
        return Opinion(Status.FAIL if due.complete else Status.UNKNOWN)
    start = max(start, min(onsets))  # what has not begun cannot be over
    forever = 2**63 - 1
    firing = [(s.onset, forever if s.end is None else s.end) for s in found]
    return Opinion(settles(firing, start, deadline, expectation.hold, court.main.header.end_ns))


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


def no_alert(expectation: Expectation, scenario: Scenario, court: Court) -> Opinion:
    """never: silence in the window, and at all times in the twin."""
    window = ground(expectation, scenario, court)
    selector = expectation.no_alert if isinstance(expectation.no_alert, AlertIs) else AlertIs()
    for siren in sirens(court.main.alerts, selector):
        if any(siren.during(start, end) for start, end in window.spans):
            return Opinion(Status.FAIL)
    twin = clean(court, scenario)
    if any(siren.during(0, twin.header.end_ns) for siren in sirens(twin.alerts, selector)):
        return Opinion(Status.FAIL)
    watched(twin, [(0, twin.header.end_ns)])
    watched(court.main, clipped(window.spans, court.main))
    beats = [n.at_ns for n in court.main.notes if n.kind == "heartbeat"]
    must(any(at in window for at in beats), "no heartbeat in the window")
    return Opinion(Status.PASS if window.complete else Status.UNKNOWN)


def labels_seen(expectation: Expectation, scenario: Scenario, court: Court) -> Opinion:
    """A census: the labels of the event's rows that had come when the alert did."""
    ground(expectation, scenario, court)
    paging = scenario.expectation(str(expectation.at))
    window, found = paged(paging, scenario, court)
    start, end = window.spans[0][0], window.spans[-1][1]
    onsets = [siren.onset for siren in found if start <= siren.onset < end]
    if not onsets:
        return Opinion(Status.FAIL if window.complete else Status.UNKNOWN)
    of = expectation.of or str(paging.after).replace(".end", "")
    bit, onset = 1 << event(court.main, of).index, min(onsets)
    votes = [
        (row.position, row.scheduled_ns, row.label_ns != NEVER and row.label_ns <= onset)
        for row in court.main.rows
        if row.touched & bit and row.scheduled_ns < onset
    ]
    must(bool(votes), "no row")
    allowed = expectation.params.max
    seen = sum(failed for _, _, failed in votes)
    return poll(Status.PASS if seen / len(votes) <= allowed else Status.FAIL, votes, allowed)


# ---------------------------------------------------------------- answers over time


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


# ---------------------------------------------------------------- values


def parity(expectation: Expectation, scenario: Scenario, court: Court) -> Opinion:
    """equal: every score that the twin has."""
    twin, noisy, _ = noise(court, scenario)
    window = when(expectation, scenario, court.main)
    rows, votes = rows_of(expectation, court.main, window, expectation.of), []
    for row in rows:
        other = comparable(row, twin, noisy)
        if other is None or other.outcome != Outcome.OK or not isfinite(other.score):
            continue
        score = row.score if row.outcome == Outcome.OK else nan
        votes.append((row.position, row.scheduled_ns, not equal(score, other.score, court.tolerance)))
    pairs, wrong = len(votes), sum(failed for _, _, failed in votes)
    if wrong:
        noisier = not noisy or by_tails(wrong, pairs, NOISE) is Status.FAIL
        return Opinion(Status.FAIL if noisier else Status.UNKNOWN)
    must(pairs >= max(1, expectation.params.min_pairs), "enough data")
    sound(court.main, scenario)
    must(pairs >= 0.9 * len(rows), "hardly comparable")
    return poll(Status.PASS, votes, NOISE if noisy else 0.0)


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
    value, rows, answers = truth(wanted.of, court.main, data["matured_before_ns"])
    must(min(data["n"], rows) >= 200 and isfinite(data[wanted.of]), "enough data")  # noqa: PLR2004 - of the law
    good = data["n"] <= 1.01 * answers and abs(data[wanted.of] - value) <= wanted.within
    return Opinion(Status.PASS if good else Status.FAIL)


FAMILIES: Final[dict[str, Callable[[Expectation, Scenario, Court], Opinion]]] = {
    "alert": alert,
    "resolved": resolved,
    "no_alert": no_alert,
    "handled": handled,
    "harmed": harmed,
    "error_rate": error_rate,
    "latency": latency,
    "labels_seen": labels_seen,
    "fallback": fallback,
    "shed": shed,
    "answered": answered,
    "recovers": recovers,
    "rollback": rollback,
    "exposure": exposure,
    "parity": parity,
    "quality": quality,
}

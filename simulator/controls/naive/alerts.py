"""S6 once more: episodes, and what is asked of them."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.controls.naive.book import Book
from simulator.controls.naive.court import MINUTE, Court, Opinion, must
from simulator.controls.naive.lasting import settles
from simulator.controls.naive.premises import clean, event, watched
from simulator.controls.naive.shares import poll
from simulator.controls.naive.windows import When, ground, when
from simulator.history.schema import NEVER, AlertRecord
from simulator.scenario.families import AlertIs
from simulator.scenario.model import Expectation, Scenario
from simulator.verdict import Status


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

    records = tuple(record for record in records if selector.route in (None, record.route))
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
    watched(court.main, clipped([(start, horizon_of_once(expectation, court.main, end))], court.main), selector.route)
    watched(twin, clipped([(start, end)], twin), selector.route)
    found = sirens(court.main.alerts, selector)
    must(not any(s.onset < start and (s.end is None or s.end > start) for s in found), "firing before")
    if any(start <= s.onset < end for s in found):
        must(not any(s.during(start, end) for s in sirens(twin.alerts, selector)), "not attributable")
    return window, found


def horizon_of_once(expectation: Expectation, run: Book, end: int) -> int:
    """`once` and `stands` look as far as the event lasts."""
    if not (expectation.once or expectation.stands) or not expectation.after:
        return end
    return max(end, event(run, expectation.after.replace(".end", "")).end_ns)


def alert(expectation: Expectation, scenario: Scenario, court: Court) -> Opinion:
    """eventually: an onset in the window; with `once`, no second one; with `stands`, no silence before the end."""
    window, found = paged(expectation, scenario, court)
    start, end = window.spans[0][0], window.spans[-1][1]
    if not any(start <= siren.onset < end for siren in found):
        return Opinion(Status.FAIL if window.complete else Status.UNKNOWN)
    until = horizon_of_once(expectation, court.main, end)
    if expectation.once and sum(start <= siren.onset < until for siren in found) > 1:
        return Opinion(Status.FAIL)
    if expectation.stands:
        first = min(siren.onset for siren in found if start <= siren.onset < end)
        lasts = event(court.main, str(expectation.after)).end_ns
        must(first < lasts, "nothing to stand through")
        if not unbroken(found, first, lasts):
            return Opinion(Status.FAIL)
    return Opinion(Status.PASS)


def unbroken(found: list[Siren], start: int, end: int) -> bool:
    """At every instant of [start, end) one of them fires."""
    while start < end:
        ends = [end if siren.end is None else siren.end for siren in found if siren.during(start, start + 1)]
        if not ends:
            return False
        start = max(ends)
    return True


def resolved(expectation: Expectation, scenario: Scenario, court: Court) -> Opinion:
    """converge: the episode came, and some time before the deadline it is over for `hold`."""
    window = ground(expectation, scenario, court)
    paging = scenario.expectation(str(expectation.resolved))
    due = when(paging, scenario, court.main)
    start, deadline = window.spans[0][0], window.spans[-1][1]
    first, last = due.spans[0][0], due.spans[-1][1]
    selector = paging.alert or AlertIs()
    watched(court.main, clipped([(first, last), (start, deadline + expectation.hold)], court.main), selector.route)
    found = sirens(court.main.alerts, selector)
    must(not any(s.onset < first and (s.end is None or s.end > first) for s in found), "firing before")
    onsets = [siren.onset for siren in found if first <= siren.onset < last]
    if not onsets:
        return Opinion(Status.FAIL if due.complete else Status.UNKNOWN)
    start = max(start, min(onsets))  # what has not begun cannot be over
    forever = 2**63 - 1
    firing = [(s.onset, forever if s.end is None else s.end) for s in found]
    return Opinion(settles(firing, start, deadline, expectation.hold, court.main.header.end_ns))


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
    watched(twin, [(0, twin.header.end_ns)], selector.route)
    watched(court.main, clipped(window.spans, court.main), selector.route)
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
    must(any(court.main.rows[at].label_due_ns != NEVER for at, _, _ in votes), "no label ever comes")
    allowed = expectation.params.max
    seen = sum(failed for _, _, failed in votes)
    return poll(Status.PASS if seen / len(votes) <= allowed else Status.FAIL, votes, allowed)

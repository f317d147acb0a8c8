"""S1 once more: which instants, which rows, which requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from simulator.controls.naive.book import Book, Row
from simulator.controls.naive.court import SECOND, Court, must
from simulator.controls.naive.premises import event, needed, received, sent, sound
from simulator.scenario.model import Expectation, Scenario


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
        received(run, scenario, name)
    planned = clauses(expectation, scenario, run).spans()
    horizon = run.header.end_ns
    spans = [(a, b) for a, b in planned if a < horizon]
    must(bool(spans), "nothing left of the window")
    late = max(SECOND, sum(b - a for a, b in spans) // 100)
    for name in names:
        due, record = scenario.event(name), event(run, name)
        declared = due.late.by if due.late else due.duplicate.after if due.duplicate else 0
        first = max(due.at, record.scheduled_ns)
        must(first <= record.start_ns <= first + declared + late, "event late")
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
    sent(court, scenario)
    return when(expectation, scenario, court.main)


def complete(window: When) -> None:
    """A share speaks of a window that is over."""
    must(window.complete, "run ended before the window")


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

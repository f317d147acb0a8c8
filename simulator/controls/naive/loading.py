"""Calls, and CPU time, counted by hand."""

from __future__ import annotations

from itertools import pairwise
from math import isfinite

from simulator.controls.naive.book import Book
from simulator.controls.naive.court import Court, Opinion, must
from simulator.controls.naive.premises import clean
from simulator.controls.naive.windows import When, ground
from simulator.history.schema import Note, Outcome
from simulator.scenario.model import Expectation, Scenario
from simulator.verdict import Status


def marks(run: Book, name: str) -> list[Note]:
    """The counts of that name, in order."""
    return sorted((n for n in run.notes if n.kind == "calls" and name in n.data), key=lambda n: n.at_ns)


def watched(inside: list[Note], name: str, start: int, end: int) -> None:
    """A counter rises, and was looked at from the start to the end."""
    moments = [note.at_ns for note in inside]
    counts = [note.data[name] for note in inside]
    must(counts == sorted(counts), "the counter fell")
    steps = [later - at for at, later in pairwise(moments)]
    unseen = [moments[0] - start, *steps, end - moments[-1]]
    must(max(unseen) <= 2 * min(steps), "not measured throughout")


def brief(found: list[Note], start: int, end: int) -> None:
    """Too short for two looks, at the pace of the others: else somebody looked away."""
    steps = [later.at_ns - one.at_ns for one, later in pairwise(found)]
    edges = [start, *(note.at_ns for note in found if start <= note.at_ns <= end), end]
    for one, later in pairwise(edges):
        must(not steps or later - one <= 2 * min(steps), "not measured at all")


def tally(run: Book, window: When, name: str) -> tuple[int, int]:
    """Calls between the first and the last count in each span, and how long that was."""
    found = marks(run, name)
    must(bool(found), "nobody counted")
    calls, lasted = 0, 0
    for start, end in window.spans:
        inside = [note for note in found if start <= note.at_ns <= end]
        if len(inside) < 2:  # noqa: PLR2004 - two counts, or no difference
            brief(found, start, min(end, run.header.end_ns))
        else:
            watched(inside, name, start, min(end, run.header.end_ns))
            calls += inside[-1].data[name] - inside[0].data[name]
            lasted += inside[-1].at_ns - inside[0].at_ns
    must(lasted > 0, "no two counts")
    return calls, lasted


def amplification(expectation: Expectation, scenario: Scenario, court: Court) -> Opinion:
    """No more than so many times what the twin did."""
    wanted = expectation.params
    window = ground(expectation, scenario, court)
    twin = clean(court, scenario)
    calls, lasted = tally(court.main, window, wanted.to)
    usual, twin_lasted = tally(twin, window, wanted.to)
    must(usual >= 100, "enough data")  # noqa: PLR2004 - of the law
    if calls * twin_lasted > wanted.times * (usual * lasted):
        return Opinion(Status.FAIL)
    return Opinion(Status.PASS if window.complete else Status.UNKNOWN)


def spent(run: Book, window: When) -> tuple[int, int]:
    """CPU time between the first and the last mark in each span, and the scores that came back in between."""
    found = sorted((n for n in run.notes if n.kind == "cpu"), key=lambda n: n.at_ns)
    used, rows, seen = 0, 0, False
    for start, end in window.spans:
        inside = [note for note in found if start <= note.at_ns <= end]
        if len(inside) < 2:  # noqa: PLR2004 - two measurements, or no difference
            brief(found, start, min(end, run.header.end_ns))
        else:
            seen = True
            watched(inside, "used_ns", start, min(end, run.header.end_ns))
            must(len({note.data.get("session") for note in inside}) == 1, "others were measured")
            used += inside[-1].data["used_ns"] - inside[0].data["used_ns"]
            for row in run.rows:
                if row.outcome == Outcome.OK and isfinite(row.score):
                    rows += inside[0].at_ns < row.replied_ns <= inside[-1].at_ns
    must(seen, "not measured twice")
    return used, rows


def cost(expectation: Expectation, scenario: Scenario, court: Court) -> Opinion:
    """A thousand predictions, and no more than so much CPU time."""
    window = ground(expectation, scenario, court)
    used, rows = spent(court.main, window)
    must(rows >= expectation.params.min_rows, "enough data")
    if used * 1000 > expectation.params.cpu * rows:
        return Opinion(Status.FAIL)
    return Opinion(Status.PASS if window.complete else Status.UNKNOWN)

"""Families about load: what a trial puts on others (amplification), and what the service itself takes (cost)."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np

from simulator.checks import premises, selection, words
from simulator.checks.evidence import Evidence
from simulator.checks.premises import PremiseError
from simulator.checks.windows import Window
from simulator.history.schema import History, Outcome
from simulator.scenario.families import Amplification, Cost
from simulator.scenario.model import Expectation, Scenario
from simulator.verdict import Finding, Status

THOUSAND: Final = 1000  # predictions
MIN_CALLS: Final = 100  # of the clean twin, in the window


def amplification(expectation: Expectation, scenario: Scenario, evidence: Evidence) -> Finding:
    """A census: the rate of calls in the window, at most `times` that of the clean twin in the same window.

    Counted by the driver at regular marks; what lies between the first and the last mark in the window counts.
    """
    wanted = expectation.amplification or Amplification(to="", times=1.0)
    window = selection.ground(expectation, scenario, evidence)
    twin = premises.clean_twin(evidence, scenario)
    calls, lasted = _counted(evidence.main, window, wanted.to)
    usual, twin_lasted = _counted(twin, window, wanted.to)
    if usual < MIN_CALLS:
        raise PremiseError(
            f"enough data: {usual} calls of {wanted.to} in the clean twin are under the {MIN_CALLS} that it takes",
            "raise the rate, or look for longer",
        )
    more = calls * twin_lasted > wanted.times * (usual * lasted)
    ratio = calls * twin_lasted / (usual * lasted)
    limit = f"at most {wanted.times:g} times the twin's calls of {wanted.to}"
    margin = (wanted.times - ratio) / wanted.times
    text = f"{calls} calls in {words.moment(lasted)}, in the twin {usual} in {words.moment(twin_lasted)}"
    status = Status.FAIL if more else Status.PASS if window.complete else Status.UNKNOWN
    return Finding(status, limit, f"{ratio:.2f} times ({text})", text if more else "", n=usual, margin=margin)


def _counted(history: History, window: Window, name: str) -> tuple[int, int]:
    """Calls between marks in the window, and the nanoseconds between them.

    Raises:
        PremiseError: Nobody counted, not throughout the window, or the count fell.
    """
    marks = sorted(
        (note.at_ns, int(note.data[name])) for note in history.notes if note.kind == "calls" and name in note.data
    )
    if not marks:
        raise PremiseError(
            f"observers: nobody counted the calls of {name} in the {history.header.role} run",
            "name it among the `seams` of the target file; only the virtual driver counts",
        )
    calls = lasted = 0
    for start, end in window.spans:
        inside = _throughout(marks, start, min(end, history.header.end_ns), f"the calls of {name}")
        if inside:
            (at, before), (later, after) = inside[0], inside[-1]
            calls, lasted = calls + after - before, lasted + later - at
    if not lasted:
        raise PremiseError(f"observers: no two counts of {name} lie in the window", "look for two minutes at least")
    return calls, lasted


def _throughout(marks: list[tuple[int, int]], start: int, end: int, what: str) -> list[tuple[int, int]]:
    """The marks of a span in which a counter rose, and was read from edge to edge; none where it is too short for two.

    Raises:
        PremiseError: It fell, or it was not read for long: of what was not measured nobody can say how much it was.
    """
    inside = [mark for mark in marks if start <= mark[0] <= end]
    if any(later < before for (_, before), (_, later) in pairwise(inside)):
        raise PremiseError(
            f"observers: {what} fell: another one counts now",
            "look where it is not restarted",
        )
    edges = [start, *(at for at, _ in inside), end]
    longest = max(later - at for at, later in pairwise(edges))
    looked = inside if len(inside) > 1 else marks  # a span without marks is held to the pace of the others
    steps = [later - at for (at, _), (later, _) in pairwise(looked)]
    if steps and longest > 2 * min(steps):
        raise PremiseError(
            f"observers: for {words.moment(longest)} of the window nobody measured {what}",
            "look where it runs, from start to end",
        )
    return inside if len(inside) > 1 else []


def cost(expectation: Expectation, scenario: Scenario, evidence: Evidence) -> Finding:
    """A census: CPU time between the driver's marks in the window, for a thousand scores replied between them."""
    wanted = expectation.cost or Cost(cpu=1)
    window = selection.ground(expectation, scenario, evidence)
    used, rows = _used(evidence.main, window)
    if rows < wanted.min_rows:
        raise PremiseError(
            f"enough data: {rows} predictions between two marks are under the {wanted.min_rows} that it takes",
            "raise the rate, or look for longer",
        )
    more = used * THOUSAND > wanted.cpu * rows
    status = Status.FAIL if more else Status.PASS if window.complete else Status.UNKNOWN
    took = used * THOUSAND // rows
    text = f"{words.moment(used)} for {rows} predictions"
    limit = f"at most {words.moment(wanted.cpu)} of CPU for a thousand"
    why = text if more or window.complete else "window: the run ended before it did"
    return Finding(status, limit, words.moment(took), why, n=rows, margin=(wanted.cpu - took) / wanted.cpu)


def _used(history: History, window: Window) -> tuple[int, int]:
    """CPU nanoseconds between the first and the last mark of each span, and the rows with a score replied meanwhile.

    Raises:
        PremiseError: Nobody measured, or there are no two marks in the window.
    """
    noted = [note for note in history.notes if note.kind == "cpu"]
    marks = sorted((note.at_ns, int(note.data["used_ns"])) for note in noted)
    # A session of processes counts from nothing: what another one used is no part of the difference.
    began = {note.at_ns: note.data.get("session", 0) for note in noted}
    items = history.items
    scored = (items["outcome"] == Outcome.OK) & np.isfinite(items["score"])
    used = rows = 0
    seen = False
    for start, end in window.spans:
        inside = _throughout(marks, start, min(end, history.header.end_ns), "the CPU time of the service")
        if inside:
            if len({began[at] for at, _ in inside}) > 1:
                raise PremiseError(
                    "observers: the service was restarted, and its CPU time began anew",
                    "look where it is not restarted",
                )
            (since, before), (until, after) = inside[0], inside[-1]
            replied = (items["replied_ns"] > since) & (items["replied_ns"] <= until)
            used, rows, seen = used + after - before, rows + int((scored & replied).sum()), True
    if not seen:
        raise PremiseError(
            "observers: the CPU time of the service was not measured twice in the window",
            "virtual time: say `service_time` in the target file; real time: let its `start.command` start the service",
        )
    return used, rows

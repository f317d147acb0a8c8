"""Families about the load that a trial puts on others: amplification."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from simulator.checks import premises, selection, words
from simulator.checks.evidence import Evidence
from simulator.checks.premises import PremiseError
from simulator.checks.windows import Window
from simulator.history.schema import History
from simulator.scenario.model import Amplification, Expectation, Scenario
from simulator.verdict import Finding, Status

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
        PremiseError: Nobody counted, or there are no two marks in the window.
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
        for (at, before), (later, after) in pairwise(mark for mark in marks if start <= mark[0] <= end):
            calls, lasted = calls + after - before, lasted + later - at
    if not lasted:
        raise PremiseError(f"observers: no two counts of {name} lie in the window", "look for two minutes at least")
    return calls, lasted

"""Families about what the service does for its operators: readiness, refuses."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np

from simulator.checks import evaluators, selection, words
from simulator.checks.evidence import Evidence
from simulator.checks.premises import PremiseError
from simulator.checks.windows import Window
from simulator.history.schema import History, Note, Outcome
from simulator.scenario.families import Readiness, Refuses
from simulator.scenario.model import Expectation, Scenario
from simulator.scenario.quantities import MINUTE
from simulator.verdict import Finding

_SILENCE: Final = 2 * MINUTE  # the answer is on record at every change and every minute
_REFUSED: Final = range(400, 500)


def readiness(expectation: Expectation, scenario: Scenario, evidence: Evidence) -> Finding:
    """eventually: the readiness endpoint says so. What was so before the window proves nothing.

    `ready` is to be said again: it must have been unready before. `ready_throughout` is a never: not once the opposite.
    """
    window = selection.ground(expectation, scenario, evidence)
    to = (expectation.readiness or Readiness(to="ready")).to
    asked = _asked(evidence.main, window)
    before = [note for note in asked if note.at_ns <= window.start]
    if to == "ready_throughout":
        return _throughout([before[-1], *(note for note in asked if window.start < note.at_ns < window.end)], window)
    wanted = to == "ready"
    if to == "unready" and before[-1].data["ready"] is False:
        raise PremiseError("unready before: it was so when the window began", "a longer warm-up, or another target")
    if wanted and all(note.data["ready"] for note in asked if note.at_ns < window.end):
        raise PremiseError("never unready: what was always so did not come back", "see why the event did not show")
    moments = [note.at_ns for note in asked if note.data["ready"] is wanted and note.at_ns >= window.start]
    if before[-1].data["ready"] is wanted:
        moments.insert(0, window.start)
    return evaluators.eventually(
        [(at, f"{to} at {words.moment(at)}") for at in moments],
        limit=f"{to} {window.text}",
        start=window.start,
        deadline=window.end,
        complete=window.complete,
    )


def _throughout(asked: list[Note], window: Window) -> Finding:
    wrong = [f"unready at {words.moment(note.at_ns)}" for note in asked if note.data["ready"] is False]
    limit = f"ready throughout, {window.text}"
    return evaluators.never(wrong, limit=limit, opportunities=len(asked), complete=window.complete)


def _asked(history: History, window: Window) -> list[Note]:
    """The answers on record, in order.

    Raises:
        PremiseError: Nobody asked before the window, or for too long within it.
    """
    asked = sorted((note for note in history.notes if note.kind == "ready"), key=lambda note: note.at_ns)
    until = min(window.end, history.header.end_ns)
    moments = [note.at_ns for note in asked]
    seen = [at for at in moments if at <= window.start][-1:] + [at for at in moments if window.start < at < until]
    gaps = [later - at for at, later in pairwise([*seen, until])]
    if not seen or seen[0] > window.start or max(gaps) > _SILENCE:
        raise PremiseError(
            "observers: the readiness endpoint was not asked throughout the window",
            "name it in the target file: `start: {ready: /path}`",
        )
    return asked


def refuses(expectation: Expectation, scenario: Scenario, evidence: Evidence) -> Finding:
    """never: the release was accepted, or failed instead of being refused, or that version answered anybody."""
    window = selection.ground(expectation, scenario, evidence)
    version = (expectation.refuses or Refuses(version="")).version
    main = evidence.main
    items = main.items
    actions = [
        note
        for note in main.notes
        if note.kind == "action" and note.data["what"] == f"release {version}" and note.at_ns in _span(window)
    ]
    if not actions:
        raise PremiseError(f"receipt: no answer to the release of {version} is on record", "see `admin.release`")
    later = np.asarray(items["scheduled_ns"] >= window.start, bool)
    selection.says_version(main, later)
    answered = np.flatnonzero(later & (items["outcome"] == Outcome.OK) & np.asarray(items["version"] == version, bool))
    violations = [
        f"the release of {version} was answered with status {note.data['status']} at {words.moment(note.at_ns)}"
        for note in actions
        if int(note.data["status"]) not in _REFUSED
    ]
    violations += [f"{words.item(main, int(row))}: answered by {version}" for row in answered[: words.MOST_WITNESSES]]
    return evaluators.never(
        violations, limit=f"{version} is refused", opportunities=len(actions), complete=window.complete
    )


def _span(window: Window) -> range:
    return range(window.start, window.end)

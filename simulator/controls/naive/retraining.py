"""Retraining once more: the journal, line by line, and every answer beside it."""

from __future__ import annotations

from typing import Any

from simulator.controls.naive.court import SECOND, Court, Doubt, Opinion, must
from simulator.controls.naive.shares import tagged
from simulator.controls.naive.tails import by_tails
from simulator.controls.naive.windows import When, ground
from simulator.history.schema import NEVER, Outcome
from simulator.scenario.model import Expectation, Scenario
from simulator.verdict import Status

_FEWEST = 30


def journal(court: Court, version: str) -> list[dict[str, Any]]:
    """The steps on record, each entered when it says."""
    found = []
    for note in court.main.notes:
        if note.kind == "retraining" and note.data["version"] == version:
            said = note.data["said_ns"]
            must(note.data["last_ns"] - SECOND <= said <= note.at_ns + SECOND, "entered at another moment")
            found.append(note.data)
    must(bool(found), "no journal")
    return found


def retrain(expectation: Expectation, scenario: Scenario, court: Court) -> Opinion:
    """How far it got, and by which way."""
    window, run, wanted = ground(expectation, scenario, court), court.main, expectation.params
    tagged(run, [row for row in run.rows if row.scheduled_ns >= window.spans[0][0]])
    lines = journal(court, wanted.version)
    first: dict[str, int] = {}
    for line in lines:
        first.setdefault(line["step"], line["said_ns"])
    # (when, whether this version gave it) of each answer.
    given = [row for row in run.rows if row.outcome == Outcome.OK and row.replied_ns != NEVER]
    answers = [(row.replied_ns, row.version == wanted.version) for row in given]
    if wanted.goes == "nowhere":
        loose = any(ours for _, ours in answers) or "canary" in first or "live" in first
        return Opinion(Status.FAIL) if loose else _reached(first.get("refused"), window)
    if astray(expectation, first, answers) or any(line["step"] == "canary" and line["asked"] == 0 for line in lines):
        return Opinion(Status.FAIL)
    if "live" in first and sum(at >= first["live"] for at, _ in answers) < _FEWEST:
        raise Doubt("too few answers since")
    unseen = wanted.shadow and any(line["step"] == "canary" and line["asked"] < 0 for line in lines)
    must("live" not in first or not unseen, "nobody saw the shadow")
    return _reached(first.get("live"), window)


def astray(expectation: Expectation, first: dict[str, int], answers: list[tuple[int, bool]]) -> bool:
    """Whether it took another way than through shadow, canary and promotion."""
    wanted, shadow, canary, live = expectation.params, *(first.get(step) for step in ("shadow", "canary", "live"))
    if any(ours and (canary is None or at < canary - SECOND) for at, ours in answers):
        return True
    if canary is not None:
        if shadow is None or canary - shadow < wanted.shadow:
            return True
        trial = [ours for at, ours in answers if canary <= at and (live is None or at < live)]
        if live is not None and len(trial) >= _FEWEST and not any(trial):
            return True
        if trial and by_tails(sum(trial), len(trial), wanted.share) is Status.FAIL:
            return True
    if live is not None:
        if canary is None or live - canary < wanted.canary:
            return True
        since = [ours for at, ours in answers if at >= live]
        others = [not ours for ours in since]
        return len(since) >= _FEWEST and by_tails(sum(others), len(others), 0.5) is Status.FAIL
    return False


def _reached(at: int | None, window: When) -> Opinion:
    start, deadline = window.spans[0][0], window.spans[-1][1]
    if at is not None and start <= at < deadline:
        return Opinion(Status.PASS)
    return Opinion(Status.FAIL if window.complete else Status.UNKNOWN)

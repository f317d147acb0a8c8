"""Families about answers over time: recovers, rollback."""

from __future__ import annotations

from typing import Final

import numpy as np

from simulator.checks import evaluators, premises, selection, words
from simulator.checks.alerting import converged
from simulator.checks.evidence import Evidence
from simulator.checks.joins import NOBODY, partners
from simulator.checks.premises import PremiseError
from simulator.checks.selection import FAILED
from simulator.checks.statistics import BLOCK_NS
from simulator.checks.windows import Window
from simulator.history.schema import NEVER, History, Outcome, Source
from simulator.scenario.families import Recovers, Rollback
from simulator.scenario.model import Expectation, Scenario
from simulator.verdict import Finding, Status

MIN_ROWS: Final = 30  # fewer answers in the hold are no evidence of anything lasting


def recovers(expectation: Expectation, scenario: Scenario, evidence: Evidence) -> Finding:
    """converge: from some t before the deadline on, for `hold`, every row scheduled is answered as it should be.

    ``healthy``: no error, no shed. ``model``: that, and every answer is the model's, or comes from where the same
    row's answer comes from in the clean twin: a row that is always answered by a default has recovered.
    """
    window = selection.ground(expectation, scenario, evidence)
    to = (expectation.recovers or Recovers(to="healthy")).to
    main = evidence.main
    items = main.items
    bad = np.isin(items["outcome"], (*FAILED, Outcome.SHED))
    if to == "model":
        selection.says_source(main)
        twin = premises.clean_twin(evidence, scenario)
        bad |= (items["outcome"] == Outcome.OK) & ~_models(evidence, twin)
    limit = f"{to} {window.text}, for {words.moment(expectation.hold)}"
    return _lasting(expectation, evidence, window, bad, limit)


def _models(evidence: Evidence, twin: History) -> np.ndarray:
    source = evidence.main.items["source"]
    fine = np.isin(source, (Source.MODEL, Source.CACHE)) & np.isfinite(evidence.main.items["score"])
    if len(twin):
        mate = partners(evidence, evidence.main, twin)
        at = np.where(mate == NOBODY, 0, mate)
        usual = (mate != NOBODY) & (twin.items["outcome"][at] == Outcome.OK) & (twin.items["source"][at] == source)
        fine |= usual
    return np.asarray(fine, bool)


def _lasting(expectation: Expectation, evidence: Evidence, window: Window, bad: np.ndarray, limit: str) -> Finding:
    main = evidence.main
    scheduled = main.items["scheduled_ns"]
    moments = np.unique(scheduled[bad])
    outcome = evaluators.converge(
        moments, moments + 1, start=window.start, deadline=window.end, hold=expectation.hold,
        observed_until=main.header.end_ns,
    )  # fmt: skip
    held = (scheduled >= outcome.at_ns) & (scheduled < outcome.at_ns + expectation.hold)
    answers = int((held & (main.items["outcome"] == Outcome.OK)).sum())
    witnesses = words.few(_witness(main, int(row)) for row in np.flatnonzero(bad & (scheduled >= window.start))[-10:])
    finding = converged(
        outcome, limit=limit, window=window, hold=expectation.hold, n=answers, noun="not recovered", witnesses=witnesses
    )
    return _enough(finding, answers)


def _enough(finding: Finding, answers: int) -> Finding:
    if finding.status is not Status.PASS or answers >= MIN_ROWS:
        return finding
    raise PremiseError(
        f"enough data: {answers} answers in the hold are under the {MIN_ROWS} that it takes",
        "raise the rate, or hold for longer",
    )


def _witness(history: History, row: int) -> str:
    items = history.items
    outcome = Outcome(int(items["outcome"][row])).name.lower()
    source = Source(int(items["source"][row])).name.lower()
    return f"{words.item(history, row)}: {outcome}, source {source}, version {items['version'][row] or 'not said'}"


def rollback(expectation: Expectation, scenario: Scenario, evidence: Evidence) -> Finding:
    """converge: another version answered, and from some t before the deadline on none but `to` does, for good.

    Stricter than the plain evaluator: a version that comes back any time before the next release is a flap, also
    after `hold`. Requests in flight at t must not be lost, unless the clean twin lost the same ones.
    """
    window = selection.ground(expectation, scenario, evidence)
    to = (expectation.rollback or Rollback(to="")).to
    main = evidence.main
    items = main.items
    scheduled = items["scheduled_ns"]
    horizon = _next_release(expectation, scenario, main)
    selection.says_version(main, (scheduled >= window.start) & (scheduled < horizon))
    limit = f"back to {to} {window.text}, for {words.moment(expectation.hold)}"
    watched = (scheduled >= window.start) & (scheduled < horizon) & (items["outcome"] == Outcome.OK)
    other = np.flatnonzero(watched & (items["version"] != to))
    if not len(other):
        return Finding(Status.FAIL, limit, "nothing seen", "no other version ever answered, so nothing was rolled back")
    at = int(scheduled[other].max()) + 1
    lasted = at + expectation.hold <= min(main.header.end_ns, horizon)
    status = Status.FAIL if at >= window.end else Status.PASS if lasted else Status.UNKNOWN
    held = (scheduled >= at) & (scheduled < at + expectation.hold) & (items["outcome"] == Outcome.OK)
    last = words.few(_witness(main, int(row)) for row in other[-10:])
    lost = _lost_in_flight(evidence, scenario, at)
    if status is not Status.FAIL and len(lost):
        told = words.few(_witness(main, int(row)) for row in lost)
        return Finding(
            Status.FAIL, limit, f"{len(lost)} lost in flight", f"in flight at {words.moment(at)} and never answered",
            n=int(held.sum()), witnesses=told,
        )  # fmt: skip
    finding = converged(
        evaluators.Converged(status, at), limit=limit, window=window, hold=expectation.hold, n=int(held.sum()),
        noun="answered by another version", witnesses=last,
    )  # fmt: skip
    return _enough(finding, int(held.sum()))


def _next_release(expectation: Expectation, scenario: Scenario, main: History) -> int:
    own = premises.record_of(main, (expectation.after or "").removesuffix(".end")).start_ns if expectation.after else 0
    starts = [premises.record_of(main, event.event).start_ns for event in scenario.when if event.release]
    return min([start for start in starts if start > own], default=main.header.end_ns)


def _lost_in_flight(evidence: Evidence, scenario: Scenario, at: int) -> np.ndarray:
    """Rows of requests that were open at `at`, or within 10 s of it, and failed.

    The moment of the switch is known only up to the last answer of the other version, hence the 10 s.
    """
    main = evidence.main
    items = main.items
    scheduled, replied = items["scheduled_ns"], items["replied_ns"]
    closed = np.where(replied == NEVER, scheduled + scenario.given.traffic.timeout, replied)
    lost = np.isin(items["outcome"], FAILED) & (scheduled < at + BLOCK_NS) & (closed >= at)
    rows = np.flatnonzero(lost)
    if evidence.twin is None or not len(rows) or not len(evidence.twin):
        return rows
    mate = partners(evidence, main, evidence.twin)[rows]
    anyway = np.isin(evidence.twin.items["outcome"][np.where(mate == NOBODY, 0, mate)], FAILED) & (mate != NOBODY)
    return np.asarray(rows[~anyway])

"""Named signals of the share families: what is a trial, and what is a failure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from simulator.checks import evaluators, handling, premises, reviewing, selection, windows, words
from simulator.checks.evaluators import Ballot, Limit
from simulator.checks.evidence import Evidence
from simulator.checks.handling import Handling
from simulator.checks.premises import PremiseError
from simulator.checks.selection import FAILED
from simulator.checks.windows import UNTOUCHED, Window
from simulator.history.schema import NEVER, History, Outcome, Source
from simulator.scenario.model import Expectation, Scenario

Signal = Callable[[Expectation, Scenario, Evidence, Window], tuple[Ballot, Limit]]


def _left_out(count: int, why: str) -> str:
    return f"{count} {why}" if count else ""


def handled(expectation: Expectation, scenario: Scenario, evidence: Evidence, window: Window) -> tuple[Ballot, Limit]:
    """Rows that the event touched and really changed; failing unless handled in one of the ways asked for."""
    wanted = expectation.params
    twin = premises.reproducible_twin(evidence, scenario)
    main = evidence.main
    chosen = selection.rows(expectation, main, window, of=expectation.of)
    if expectation.of not in (None, UNTOUCHED) and scenario.event(str(expectation.of)).layer != "service":
        # A null that was null before was not done anything to. What a broken service does is known only by its replies.
        chosen &= selection.bit(main.items["potent"], premises.record_of(main, str(expectation.of)).index)
    rows = np.flatnonzero(chosen)
    found = handling.handling(evidence, twin, rows)
    known = found.fate != Handling.UNKNOWN
    failed = ~found.by(wanted.by)[known]
    kept, fate, twin_score = rows[known], found.fate[known], found.twin_score[known]

    def witness(i: int) -> str:
        score = float(main.items["score"][kept[i]])
        said = words.score(score) if np.isfinite(score) else f"status {int(main.items['status'][kept[i]])}"
        kind = Handling(int(fate[i])).name.lower().replace("_", " ")
        clean = f"twin {float(twin_score[i]):.6g}" if np.isfinite(twin_score[i]) else "no answer in the twin"
        return f"{words.item(main, int(kept[i]))}: {kind}, {said}, {clean}"

    beside = _left_out(int((~known).sum()), "answered but without a twin to compare with")
    at = main.items["scheduled_ns"][kept]
    return Ballot(at, failed, "rows", witness, selection.block_ns(main), beside), Limit.at_least(wanted.min)


def harmed(expectation: Expectation, scenario: Scenario, evidence: Evidence, window: Window) -> tuple[Ballot, Limit]:
    """Untouched rows, failing where the reply differs from the clean twin's."""
    twin = premises.reproducible_twin(evidence, scenario)
    main = evidence.main
    rows = np.flatnonzero(selection.rows(expectation, main, window, of=expectation.of or UNTOUCHED))
    found = handling.harm(evidence, twin, rows)
    mostly_shared(len(found.rows), len(rows))

    def witness(i: int) -> str:
        return handling.describe(evidence, twin, int(found.rows[i]), int(found.partner[i]))

    beside = _left_out(found.left_out, "not comparable with the twin")
    at = main.items["scheduled_ns"][found.rows]
    return Ballot(at, found.harmed, "rows", witness, selection.block_ns(main), beside), Limit(expectation.params.max)


def mostly_shared(compared: int, asked: int) -> None:
    """At least nine in ten of the rows have a counterpart: a remnant must not speak for the whole.

    Raises:
        PremiseError: They have not.
    """
    if asked and compared < SHARED * asked:
        raise premises.PremiseError(
            f"twin: only {compared} of {asked} rows can be compared with it",
            "see why the clean run has no answer for the others",
        )


SHARED: Final = 0.9


def _requests(
    expectation: Expectation, evidence: Evidence, window: Window, failed: np.ndarray, *, drop: np.ndarray | None = None
) -> Ballot:
    """One trial per selected request, failing if one of its rows is; `drop` marks rows whose request is no trial."""
    main = evidence.main
    grouped, chosen = selection.chosen_requests(expectation, evidence, window, of=expectation.of)
    if drop is not None:
        chosen &= ~grouped.any(drop)
    trials = np.flatnonzero(chosen)
    first = grouped.first[trials]
    bad = grouped.any(failed)[trials]

    def witness(i: int) -> str:
        row = int(first[i])
        outcome = Outcome(int(main.items["outcome"][row])).name.lower()
        status = int(main.items["status"][row])
        replied = int(main.items["replied_ns"][row])
        version = str(main.items["version"][row])
        parts = [outcome + (f" {status}" if status > 0 else "")]
        if replied != NEVER:
            parts.append(f"replied after {words.moment(replied - int(main.items['scheduled_ns'][row]))}")
        if version:
            parts.append(f"by {version}")
        return f"{words.item(main, row)}: {', '.join(parts)}"

    return Ballot(main.items["scheduled_ns"][first], bad, "requests", witness, selection.block_ns(main))


def error_rate(
    expectation: Expectation, scenario: Scenario, evidence: Evidence, window: Window
) -> tuple[Ballot, Limit]:
    """Requests scheduled, failing on 5xx, timeout, reset, an unreadable answer, or none."""
    del scenario
    failed = np.isin(evidence.main.items["outcome"], FAILED)
    return _requests(expectation, evidence, window, failed), Limit(expectation.params.max)


def latency(expectation: Expectation, scenario: Scenario, evidence: Evidence, window: Window) -> tuple[Ballot, Limit]:
    """Requests that were to be answered, failing over the limit, counted from the scheduled send.

    No answer is over any limit, and so is a failure: an error that comes fast is not fast service. What was
    rejected or shed was not to be answered.
    """
    del scenario
    items = evidence.main.items
    quantile, limit_ns = expectation.params.quantile
    premises.on_schedule(evidence.main, min(premises.LATE_P99_NS, limit_ns // 10))
    outcome, replied = items["outcome"], items["replied_ns"]
    failed = np.isin(outcome, FAILED) | (replied == NEVER) | (replied - items["scheduled_ns"] > limit_ns)
    drop = (outcome == Outcome.REJECT) | (outcome == Outcome.SHED)
    simulated = "simulated " if evidence.main.header.driver == "virtual" else ""
    by = f"slower than {simulated}{words.moment(limit_ns)}"
    return _requests(expectation, evidence, window, failed, drop=drop), Limit(round(1 - quantile, 12), by=by)


def shed(expectation: Expectation, scenario: Scenario, evidence: Evidence, window: Window) -> tuple[Ballot, Limit]:
    """Requests scheduled, failing where refused for load."""
    del scenario
    failed = np.asarray(evidence.main.items["outcome"] == Outcome.SHED, bool)
    return _requests(expectation, evidence, window, failed), Limit(expectation.params.max)


def answered(expectation: Expectation, scenario: Scenario, evidence: Evidence, window: Window) -> tuple[Ballot, Limit]:
    """Requests scheduled, failing unless each of their rows has a usable score (or was refused by itself)."""
    del scenario
    items = evidence.main.items
    usable = np.isfinite(items["score"])
    refused = items["source"] == Source.REJECTED
    failed = (items["outcome"] != Outcome.OK) | ~(usable | refused)
    ballot = _requests(expectation, evidence, window, failed)
    grouped, chosen = selection.chosen_requests(expectation, evidence, window, of=expectation.of)
    nothing = ~grouped.any(usable)[chosen]
    return Ballot(ballot.at_ns, ballot.failed | nothing, ballot.noun, ballot.witness, ballot.block_ns), Limit.at_least(
        expectation.params.min
    )


def exposure(expectation: Expectation, scenario: Scenario, evidence: Evidence, window: Window) -> tuple[Ballot, Limit]:
    """Requests answered, "failing" where this version gave the answer; with `min`, where it did not."""
    del scenario
    wanted = expectation.params
    ok, served = _served(wanted.version, evidence.main, window)
    if wanted.by == "customer":
        return _customers(expectation, evidence, window, ok, served), Limit(wanted.max)
    if wanted.max is not None:
        return _requests(expectation, evidence, window, served, drop=~ok), Limit(wanted.max)
    return _requests(expectation, evidence, window, ok & ~served, drop=~ok), Limit.at_least(wanted.min)


def _customers(
    expectation: Expectation, evidence: Evidence, window: Window, ok: np.ndarray, served: np.ndarray
) -> Ballot:
    """One trial per entity that was answered, failing if that version ever answered it."""
    items = evidence.main.items
    rows = np.flatnonzero(selection.rows(expectation, evidence.main, window, of=expectation.of) & ok)
    _, first, customer = np.unique(items["entity"][rows], return_index=True, return_inverse=True)
    met = np.bincount(customer, weights=served[rows], minlength=len(first)) > 0

    def witness(i: int) -> str:
        answers = rows[customer == i]
        return f"entity {items['entity'][answers[0]]}: {int(served[answers].sum())} of {len(answers)} answers"

    return Ballot(items["scheduled_ns"][rows[first]], met, "customers", witness, selection.block_ns(evidence.main))


def promoted(expectation: Expectation, scenario: Scenario, evidence: Evidence, window: Window) -> tuple[Ballot, Limit]:
    """Requests answered in the hold after the deadline, failing where another version gave the answer."""
    del scenario
    wanted = expectation.params
    after = windows.following(window, expectation.hold, evidence.main.header.end_ns)
    ok, served = _served(wanted.to, evidence.main, after)
    return _requests(expectation, evidence, after, ok & ~served, drop=~ok), Limit.at_least(wanted.min)


def _served(version: str, history: History, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """bool[n] twice: answered, and answered by that version. Raises PremiseError if answers do not name theirs."""
    items = history.items
    ok = np.asarray(items["outcome"] == Outcome.OK, bool)
    selection.says_version(history, window.contains(items["scheduled_ns"]))
    return ok, ok & np.asarray(items["version"] == version, bool)


def fallback(expectation: Expectation, scenario: Scenario, evidence: Evidence, window: Window) -> tuple[Ballot, Limit]:
    """Rows scheduled, failing unless answered, with a usable score, by the fallback."""
    del scenario
    main = evidence.main
    items = main.items
    selection.says_source(main)
    rows = np.flatnonzero(selection.rows(expectation, main, window, of=expectation.of))
    fell_back = (items["outcome"] == Outcome.OK) & (items["source"] == Source.FALLBACK) & np.isfinite(items["score"])

    def witness(i: int) -> str:
        row = int(rows[i])
        outcome = Outcome(int(items["outcome"][row])).name.lower()
        return f"{words.item(main, row)}: {outcome}, source {Source(int(items['source'][row])).name.lower()}"

    at = items["scheduled_ns"][rows]
    return Ballot(at, ~fell_back[rows], "rows", witness, selection.block_ns(main)), Limit.at_least(
        expectation.params.min
    )


def clean_reject(
    expectation: Expectation, scenario: Scenario, evidence: Evidence, window: Window
) -> tuple[Ballot, Limit]:
    """Requests refused or failed with a reply, failing where that shows what it was sent, or internals, or nothing."""
    del scenario
    items = evidence.main.items
    told = (
        (items["outcome"] == Outcome.REJECT) | (items["outcome"] == Outcome.SHED) | (items["outcome"] == Outcome.ERROR)
    )
    leaks = np.asarray(items["leak"] != 0, bool)
    grouped = selection.requests(evidence, evidence.main)
    quiet = ~grouped.any(told)[grouped.group]  # of requests of which no row was refused
    return _requests(expectation, evidence, window, leaks, drop=quiet), Limit.at_least(expectation.params.min)


def review(expectation: Expectation, scenario: Scenario, evidence: Evidence, window: Window) -> tuple[Ballot, Limit]:
    """Rows answered, failing where they were sent to people; or, of a lower limit, where they were not."""
    del scenario
    wanted, items = expectation.params, evidence.main.items
    answered = (items["outcome"] == Outcome.OK) & (items["source"] != Source.REJECTED)
    rows = np.flatnonzero(selection.rows(expectation, evidence.main, window, of=expectation.of) & answered)
    decision = items["decision"][rows]
    if len(rows) and not np.any(decision != ""):
        raise PremiseError(
            "decision: no answer says what was decided", "map `read: {decision: ...}` in the target file"
        )
    sent = np.asarray(decision == wanted.decision, bool)
    if len(rows) and wanted.max is not None:
        selection.ever_decided(wanted.decision, "decision", evidence)

    def witness(i: int) -> str:
        return f"{words.item(evidence.main, int(rows[i]))}: {decision[i]}"

    limit = Limit.at_least(wanted.min) if wanted.max is None else Limit(wanted.max)
    failed = sent if wanted.max is not None else ~sent
    return Ballot(items["scheduled_ns"][rows], failed, "answers", witness, selection.block_ns(evidence.main)), limit


def fairness(expectation: Expectation, scenario: Scenario, evidence: Evidence, window: Window) -> tuple[Ballot, Limit]:
    """Rows of the segment that is worst off, failing unless the model answered.

    Worst is the segment that is refused by itself, or else the one that leaves the most room for doubt: it is within
    the limit only if all are. Each is judged at 99 %, so of a hundred fair segments about one is refused.
    """
    del scenario
    limit, items = Limit(expectation.params.max), evidence.main.items
    rows = np.flatnonzero(selection.rows(expectation, evidence.main, window, of=expectation.of))
    selection.says_source(evidence.main)
    model = (items["outcome"] == Outcome.OK) & np.isin(items["source"], (Source.MODEL, Source.CACHE))
    segments = items["segment"][rows]

    def ballot(segment: str) -> Ballot:
        of = rows[segments == segment]

        def witness(i: int) -> str:
            outcome = Outcome(int(items["outcome"][of[i]])).name.lower()
            source = Source(int(items["source"][of[i]])).name.lower()
            return f"{words.item(evidence.main, int(of[i]))}: {outcome}, source {source}"

        noun = f"rows of {segment or 'no segment'}, the worst off"
        return Ballot(items["scheduled_ns"][of], ~model[of], noun, witness, selection.block_ns(evidence.main))

    def badness(one: Ballot) -> tuple[bool, float]:
        lower, upper = evaluators.interval_of(one) or (0.0, 1.0)
        return lower > limit.most, upper

    ballots = [ballot(str(segment)) for segment in sorted(set(segments.tolist()))]
    return max(ballots, key=badness, default=ballot("")), limit


SIGNALS: Final[dict[str, Signal]] = {
    "handled": handled,
    "harmed": harmed,
    "error_rate": error_rate,
    "latency": latency,
    "shed": shed,
    "answered": answered,
    "exposure": exposure,
    "promoted": promoted,
    "clean_reject": clean_reject,
    "fallback": fallback,
    "review": review,
    "shown": reviewing.shown,
    "fairness": fairness,
}

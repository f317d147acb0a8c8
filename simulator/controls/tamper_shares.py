"""T controls of shares: the largest number of failures still allowed is green, the smallest that refuses is red."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np

from simulator.checks.evidence import Evidence
from simulator.controls import edits, naive
from simulator.controls.case import Case, Tampering
from simulator.controls.naive.tails import sizes
from simulator.history.schema import Outcome, Source
from simulator.scenario.model import Expectation
from simulator.verdict import Status

Values = Callable[[Expectation, Evidence, np.ndarray], Mapping[str, Any]]


def _outcome(outcome: Outcome) -> Values:
    return lambda expectation, evidence, rows: {"outcome": int(outcome)}  # noqa: ARG005 - one protocol


def _too_late(expectation: Expectation, evidence: Evidence, rows: np.ndarray) -> Mapping[str, Any]:
    return {"replied_ns": evidence.main.items["scheduled_ns"][rows] + expectation.params.quantile[1] + 1}


def _version(expectation: Expectation, evidence: Evidence, rows: np.ndarray) -> Mapping[str, Any]:  # noqa: ARG001
    wanted = expectation.params
    return {"version": wanted.version if wanted.min is None else "another"}


def _sent(expectation: Expectation) -> str:
    """A decision that the limit is against."""
    wanted = expectation.params
    return str(wanted.decision) if wanted.max is not None else f"not {wanted.decision}"


# How one voter is made to fail. By row, or else by request.
FAMILIES: Final[dict[str, Values]] = {
    "handled": _outcome(Outcome.ERROR),
    "harmed": _outcome(Outcome.ERROR),
    "error_rate": _outcome(Outcome.ERROR),
    "latency": _too_late,
    "shed": _outcome(Outcome.SHED),
    "answered": _outcome(Outcome.TIMEOUT),
    "exposure": _version,
    "promoted": lambda expectation, evidence, rows: {"version": "another"},  # noqa: ARG005
    "clean_reject": lambda expectation, evidence, rows: {"leak": 1},  # noqa: ARG005
    "review": lambda expectation, evidence, rows: {"decision": _sent(expectation)},  # noqa: ARG005
    "fairness": _outcome(Outcome.ERROR),
    "fallback": lambda expectation, evidence, rows: {"source": int(Source.MODEL)},  # noqa: ARG005
}
BY_ROW: Final = frozenset({"handled", "harmed", "fallback", "review", "fairness"})


def share(case: Case) -> Iterator[Tampering]:
    """One more than allowed does not pass, enough to refuse is refused, exactly allowed passes."""
    allowed, red = borders(case)
    trials = case.opinion.trials
    refused = f"{red} of {trials} fail" if red <= trials else f"all {trials} fail, and no number is refused"
    yield f"red: {refused}", Status.FAIL, lambda: _failing(case, min(red, trials))
    yield f"green: {allowed} of {trials} fail, as many as allowed", Status.PASS, lambda: _failing(case, allowed)
    if case.evidence.main.header.driver == "virtual" and allowed + 1 < red:
        more = allowed + 1
        yield f"boundary: one more, {more}, does not pass", Status.UNKNOWN, lambda: _failing(case, more)


def borders(case: Case) -> tuple[int, int]:
    """Failures still allowed, and those that refuse, in this very evidence."""
    opinion, run = case.opinion, case.court.main
    found = sizes(opinion.trials, opinion.limit)
    allowed, red = found.allowed, found.red
    if run.header.driver == "virtual":
        return allowed, red

    def status(failures: int) -> Status:
        failed = list(opinion.failed)
        for i in chosen(case, failures):
            failed[i] = True
        return naive.split(run, opinion.moments, failed, opinion.limit)

    # Replies of a live run fail in bursts, so blocks may ask for more, or allow less, than the exact tails do.
    while red < opinion.trials and status(red) is not Status.FAIL:
        red = min(opinion.trials, red + max(1, red // 4))
    while allowed > opinion.failures and status(allowed) is not Status.PASS:
        allowed = max(opinion.failures, allowed - max(1, (allowed - opinion.failures) // 4))
    return allowed, red


def chosen(case: Case, failures: int) -> list[int]:
    """Which voters to make fail so that so many do in all: spread evenly, as independent failures would be."""
    innocent = case.opinion.innocent
    more = max(0, failures - case.opinion.failures)
    if case.expectation.family == "exposure":  # whoever answers before anything happened is a premise
        first = min((event.at for event in case.scenario.when), default=0)
        later = [i for i in innocent if case.opinion.moments[i] >= first]
        innocent = later if len(later) >= more else innocent
    return [innocent[j * len(innocent) // more] for j in range(more)]


def _failing(case: Case, failures: int) -> Evidence:
    voters = [case.opinion.voters[i] for i in chosen(case, failures)]
    family, evidence = case.expectation.family, case.evidence
    by_row = family in BY_ROW or (family == "exposure" and case.expectation.params.by == "customer")
    rows = np.array(voters, np.int64) if by_row else edits.rows_of_requests(evidence.main, voters)
    return edits.with_values(evidence, rows, **FAMILIES[family](case.expectation, evidence, rows))


def labels_seen(case: Case) -> Iterator[Tampering]:
    """A census: so many labels at the very onset are allowed, and one more is not; without an alert none are."""
    opinion, evidence = case.opinion, case.evidence
    trials = opinion.trials
    allowed = max(k for k in range(trials + 1) if k / trials <= opinion.limit)
    onset = _onset(case)

    def seen(count: int) -> Evidence:
        rows = [opinion.voters[i] for i in chosen(case, count)]
        return edits.with_values(evidence, rows, label_due_ns=onset, label_ns=onset)

    def unseen_neighbour() -> Evidence:
        rows = [opinion.voters[i] for i in chosen(case, allowed + 1)]
        return edits.with_values(evidence, rows, label_due_ns=onset, label_ns=onset + 1)

    def dropped() -> Evidence:
        return edits.with_alerts(evidence, ())

    yield f"red: {allowed + 1} labels at the onset", Status.FAIL, lambda: seen(min(allowed + 1, trials))
    yield f"green: {allowed} labels at the onset", Status.PASS, lambda: seen(allowed)
    yield "green: labels 1 ns after the onset", Status.PASS, unseen_neighbour
    yield "red: the alert never came", Status.FAIL, dropped


def _onset(case: Case) -> int:
    paging = case.scenario.expectation(str(case.expectation.at))
    window, sirens = naive.paged(paging, case.scenario, case.court)
    return min(siren.onset for siren in sirens if siren.onset in window)

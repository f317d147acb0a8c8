"""The family about whom a service is wrong: group_errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.checks import selection, words
from simulator.checks.evidence import Evidence
from simulator.checks.premises import PremiseError
from simulator.checks.statistics import TIE, Interval, difference
from simulator.history.schema import History, Outcome, Source
from simulator.scenario.families import GroupErrors
from simulator.scenario.model import Expectation, Scenario
from simulator.verdict import Finding, Status

_NOBODY = "no group"


@dataclass(frozen=True, slots=True)
class _Group:
    """One group beside all others: (wrong, rows) of each, and 99 % bounds of how much more often it is wronged."""

    name: str
    own: tuple[int, int]
    rest: tuple[int, int]
    bounds: Interval

    @property
    def gap(self) -> float:
        """Its rate less that of the others."""
        return self.own[0] / self.own[1] - self.rest[0] / self.rest[1]

    def __str__(self) -> str:
        (k, n), (j, m) = self.own, self.rest
        return f"{self.name}: {k} of {n}, {words.share(k / n)}; all others {words.share(j / m)} of {m}"


def group_errors(expectation: Expectation, scenario: Scenario, evidence: Evidence) -> Finding:
    """share, of differences: PASS if no group's upper bound is over the gap, FAIL if the lower bound of one is.

    Each group stands beside all others together. Of a group with too few rows of known truth nothing is said: without
    a FAIL of another one that is UNKNOWN.
    """
    window = selection.ground(expectation, scenario, evidence)
    wanted = expectation.group_errors or GroupErrors(of="false_positive", gap=0.0)
    if not window.complete:
        raise PremiseError("window: the run ended before it did", "let the run last longer")
    main = evidence.main
    if main.header.driver != "virtual":
        raise PremiseError(
            "blocks: in real time errors come in runs, and groups are compared row by row", "judge it in virtual time"
        )
    rows = np.flatnonzero(selection.rows(expectation, main, window, of=expectation.of) & _known(main, wanted))
    if len(rows):
        selection.ever_decided(wanted.approve, "approve", evidence)
    wrong = (main.items["decision"][rows] == wanted.approve) == (wanted.of == "false_negative")
    names = np.array([str(name) or _NOBODY for name in main.items["segment"][rows].tolist()], object)
    groups, few = _groups(names, np.asarray(wrong, bool), wanted.min_rows)
    limit = f"at most {words.share(wanted.gap)} over the others"
    worst = max(groups, key=lambda one: (one.bounds[0] > wanted.gap + TIE, one.bounds[1]), default=None)
    if worst is None or (few and worst.bounds[0] <= wanted.gap + TIE):
        named = ", ".join(few) or "one group"
        raise PremiseError(
            f"enough data: of {named} there are under {wanted.min_rows} rows of known truth, or of all others",
            "look longer, send more, or ask for fewer rows",
        )
    lower, upper = worst.bounds
    status = Status.FAIL if lower > wanted.gap + TIE else Status.PASS if upper <= wanted.gap + TIE else Status.UNKNOWN
    why = {
        Status.PASS: f"99% sure of each of {len(groups)} groups; the most that is possible is {words.share(upper)}",
        Status.FAIL: f"99% sure that about {worst.name} it is wrong more often by at least {words.share(lower)}",
        Status.UNKNOWN: f"too little data: about {worst.name} anything from {words.share(lower)} to "
        f"{words.share(upper)} more is possible",
    }[status]
    margin = (wanted.gap - worst.gap) / wanted.gap if wanted.gap > 0 else None
    told = words.few(str(one) for one in sorted(groups, key=lambda one: -one.gap))
    remedy = "look longer, send more, or allow more" if status is Status.UNKNOWN else ""
    observed = f"{words.share(worst.gap)} about {worst.name}, {worst.own[0]} of {worst.own[1]}"
    return Finding(status, limit, observed, why, remedy, len(rows), worst.bounds, margin, None, told)


def _known(history: History, wanted: GroupErrors) -> np.ndarray:
    """bool[n]: rows that were decided, and of which the truth is the one that the kind of error is about.

    Raises:
        PremiseError: No answer says what was decided.
    """
    items = history.items
    answered = (items["outcome"] == Outcome.OK) & (items["source"] != Source.REJECTED)
    decided = answered & (items["decision"] != "")
    if bool(answered.any()) and not bool(decided.any()):
        raise PremiseError(
            "decision: no answer says what was decided", "map `read: {decision: ...}` in the target file"
        )
    return np.asarray(decided & (items["truth"] == (1 if wanted.of == "false_negative" else 0)), bool)


def _groups(names: np.ndarray, wrong: np.ndarray, fewest: int) -> tuple[list[_Group], list[str]]:
    """Those that can be judged, and the names of the others."""
    found, few = [], []
    for name in sorted(set(names.tolist())):
        of = names == name
        own = int(wrong[of].sum()), int(of.sum())
        rest = int(wrong.sum()) - own[0], len(wrong) - own[1]
        if min(own[1], rest[1]) < fewest:
            few.append(name)
        else:
            found.append(_Group(name, own, rest, difference(own, rest)))
    return found, few

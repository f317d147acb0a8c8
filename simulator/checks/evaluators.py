"""The five evaluators (S2), over plain numbers: they know statuses and limits, and nothing of histories."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from simulator.checks import words
from simulator.checks.statistics import (
    BLOCK_NS,
    MIN_BLOCKS,
    SHORT_BLOCK_NS,
    TIE,
    Interval,
    block_interval,
    clopper_pearson,
    deciding_trials,
    wider,
)
from simulator.verdict import Finding, Status

FOREVER: Final = 2**63 - 1


# ---------------------------------------------------------------- share


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` of the trials may fail. `least`: the file puts it the other way round. `by`: what failing is."""

    most: float
    least: bool = False
    by: str = ""

    @classmethod
    def at_least(cls, minimum: float) -> Limit:
        """``min: 99%`` is at most 1 % failing; rounded, so that 1 - 0.99 is the float 0.01."""
        return cls(round(1 - minimum, 12), least=True)

    def show(self, failing: float) -> str:
        """A failing share, as the file would put it."""
        return words.share(1 - failing if self.least else failing)

    def __str__(self) -> str:
        return f"{'≥' if self.least else '≤'} {self.show(self.most)}{self.by and f' {self.by}'}"


@dataclass(frozen=True, slots=True)
class Ballot:
    """Trials of a share: when each took place and whether it failed; `witness(i)` describes trial i."""

    at_ns: np.ndarray  # int64[t]
    failed: np.ndarray  # bool[t]
    noun: str
    witness: Callable[[int], str]
    block_ns: int = 0  # replies of a live run: take the interval over blocks of this length as well; 0: independent
    beside: str = ""  # what else is to be said: rows left out

    @property
    def trials(self) -> int:
        """How many."""
        return len(self.failed)

    @property
    def failures(self) -> int:
        """How many failed."""
        return int(self.failed.sum())


def interval_of(ballot: Ballot) -> Interval | None:
    """The 99 % bounds of the failing share; None if a live run is too short for blocks."""
    exact = clopper_pearson(ballot.failures, ballot.trials)
    if not ballot.block_ns:
        return exact
    _, block = np.unique(ballot.at_ns // ballot.block_ns, return_inverse=True)
    blocks = block_interval(np.bincount(block, weights=ballot.failed), np.bincount(block))
    return None if blocks is None else wider(exact, blocks)


def share(ballot: Ballot, limit: Limit) -> Finding:
    """S5: PASS if the upper bound is within the limit, FAIL if the lower bound is beyond it, else UNKNOWN."""
    n, k = ballot.trials, ballot.failures
    if n == 0:
        return empty(str(limit), ballot.noun, ballot.beside)
    observed = f"{limit.show(k / n)} of {n} {ballot.noun}{f' ({ballot.beside})' if ballot.beside else ''}"
    bounds = interval_of(ballot)
    if bounds is None:
        return Finding(
            Status.UNKNOWN,
            str(limit),
            observed,
            f"replies of a live run are not independent, and its window has under {MIN_BLOCKS} blocks of "
            f"{ballot.block_ns // SHORT_BLOCK_NS}s to judge by",
            "widen the window, or run for at least 5m",
            n,
        )
    lower, upper = bounds
    border = limit.most + TIE
    status = Status.PASS if upper <= border else Status.FAIL if lower > border else Status.UNKNOWN
    bound = limit.show(lower if status is Status.FAIL else upper)
    why = {
        Status.PASS: f"99% sure that it is {'at least' if limit.least else 'at most'} {bound}",
        Status.FAIL: f"99% sure that it is {'at most' if limit.least else 'at least'} {bound}; {k} of {n} failed",
        Status.UNKNOWN: f"too little data: {k} of {n} failed, which leaves anything from {words.share(lower)} to "
        f"{words.share(upper)} of failures possible",
    }[status]
    remedy = _more(k, n, limit.most, ballot) if status is Status.UNKNOWN else ""
    shown = (1 - upper, 1 - lower) if limit.least else bounds
    margin = (limit.most - k / n) / limit.most if limit.most > 0 else None
    guilty = np.flatnonzero(ballot.failed)[: words.MOST_WITNESSES]
    witnesses = tuple(ballot.witness(int(i)) for i in guilty)
    return Finding(status, str(limit), observed, why, remedy, n, shown, margin, None, witnesses)


def _more(failures: int, trials: int, most: float, ballot: Ballot) -> str:
    needed = deciding_trials(failures, trials, most)
    if needed is None:
        return "the observed share is the limit itself: no amount of data decides; change the limit"
    if needed <= trials:
        return "failures come in bursts: a longer run decides"
    return f"about {needed} {ballot.noun} would decide: raise the rate or lengthen the run"


def empty(limit: str, noun: str, beside: str = "") -> Finding:
    """Nothing was selected: nothing was seen."""
    return Finding(
        Status.UNKNOWN,
        limit,
        f"no {noun}{f' ({beside})' if beside else ''}",
        "empty selection: nothing that the expectation speaks of was seen",
        "widen the window, the event or the traffic",
    )


# ---------------------------------------------------------------- eventually, never


def eventually(matches: Iterable[tuple[int, str]], *, limit: str, start: int, deadline: int, complete: bool) -> Finding:
    """PASS on a match in ``[start, deadline)``; FAIL if there is none and the window was wholly observed.

    Args:
        matches: Moments and what happened then, whether or not they are in the window.
        limit: As a person reads it.
        start: First instant, ns.
        deadline: First instant that is too late, ns.
        complete: The window was wholly observed.
    """
    ordered = sorted(matches)
    inside = [(at, what) for at, what in ordered if start <= at < deadline]
    late = [(at, what) for at, what in ordered if at >= deadline]
    if inside:
        at, what = inside[0]
        return Finding(
            Status.PASS,
            limit,
            f"after {words.moment(at - start)}",
            what,
            n=len(inside),
            margin=(deadline - at) / (deadline - start),
            witnesses=words.few(f"{text} at {words.moment(moment)}" for moment, text in inside),
        )
    if not complete:
        return Finding(
            Status.UNKNOWN,
            limit,
            "nothing seen so far",
            "window: the run ended before it did",
            "let the run last longer",
        )
    seen = f"only after {words.moment(late[0][0] - start)}" if late else "nothing seen"
    return Finding(
        Status.FAIL,
        limit,
        seen,
        "too late" if late else "the window was wholly observed, and nothing happened in it",
        margin=(deadline - late[0][0]) / (deadline - start) if late else None,
        witnesses=words.few(f"{text} at {words.moment(moment)}" for moment, text in late),
    )


def never(violations: Iterable[str], *, limit: str, opportunities: int, complete: bool) -> Finding:
    """FAIL on one sound witness; PASS if wholly observed with at least one opportunity to see one."""
    found = tuple(violations)
    if found:
        return Finding(Status.FAIL, limit, f"{len(found)} seen", found[0], n=opportunities, witnesses=words.few(found))
    if not complete or opportunities < 1:
        return Finding(
            Status.UNKNOWN,
            limit,
            "nothing seen so far",
            "window: it was not wholly observed",
            "let the run last longer",
        )
    return Finding(Status.PASS, limit, "none seen", f"watched throughout, {opportunities} heartbeats", n=opportunities)


# ---------------------------------------------------------------- equal


def equal(mismatches: tuple[str, ...], *, limit: str, pairs: int, failures: int, min_pairs: int, noun: str) -> Finding:
    """One mismatch FAILs; PASS needs at least `min_pairs` pairs. `mismatches` describes some of the `failures`."""
    if failures:
        observed = f"{failures} of {pairs} {noun} differ"
        return Finding(Status.FAIL, limit, observed, mismatches[0], n=pairs, witnesses=words.few(mismatches))
    if pairs < max(1, min_pairs):
        return Finding(
            Status.UNKNOWN,
            limit,
            f"{pairs} {noun}, all equal",
            f"enough data: {pairs} pairs are under the {max(1, min_pairs)} that it takes",
            "raise the rate, lengthen the window, or ask for fewer pairs",
            pairs,
        )
    return Finding(Status.PASS, limit, f"all {pairs} {noun} equal", "no pair differs", n=pairs)


# ---------------------------------------------------------------- converge


@dataclass(frozen=True, slots=True)
class Converged:
    """Whether, and from when, all was well for long enough. `at_ns` is that moment, or the last one not refuted."""

    status: Status
    at_ns: int


def converge(
    starts: np.ndarray, ends: np.ndarray, *, start: int, deadline: int, hold: int, observed_until: int
) -> Converged:
    """Some t in ``[start, deadline)`` from which nothing bad happens in ``[t, t + hold)`` (S2).

    The law says it in 10 s buckets from t on; with `hold` made a multiple of 10 s that is the same statement.

    Args:
        starts: int64[b], ascending: when something bad began.
        ends: int64[b], ascending, disjoint from the next start: the first instant at which it was over.
        start: First t to consider.
        deadline: First t that is too late.
        hold: How long it must last; rounded up to whole buckets.
        observed_until: Nothing is known from here on.
    """
    hold = max(BLOCK_NS, -(-hold // BLOCK_NS) * BLOCK_NS)
    late = ends > start
    starts, ends = starts[late], ends[late]
    candidates = np.concatenate([[start], ends]).astype(np.int64)
    following = np.concatenate([starts, [FOREVER]]).astype(np.int64)
    good = (candidates < deadline) & (following - candidates >= hold) & (candidates < FOREVER)
    if not good.any():
        return Converged(Status.FAIL, int(candidates[-1]))
    at = int(candidates[np.argmax(good)])
    return Converged(Status.PASS if at + hold <= observed_until else Status.UNKNOWN, at)

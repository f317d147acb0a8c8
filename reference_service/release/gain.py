"""Which arm of a running split is nearer to the truth? By matured labels, with an interval that may be looked at often.

Customers were assigned and not rows, so customers are the sample. To be bounded they stand in 255 *crowds* of whole
customers: a crowd is as good a cluster. Each arm's Brier score is a mean over clusters of unequal size (Cochran,
Sampling Techniques, 3rd ed., 2.39), and the gain is the difference of two independent ones.

Whoever looks each day stops at the day that he likes. The interval therefore covers at all looks together: a normal
mixture over the information that has been collected, 1 / standard error² (Robbins, Ann. Math. Stat. 1970; as an
asymptotic confidence sequence, Waudby-Smith et al., Ann. Stat. 2024). Like each large-sample interval it holds from
some size on: below `CROWDS` and `LABELS` in either arm there is none.

A refusal that was allowed at random counts for all those that it stands for. Where an arm refuses and no refusal of
its has got a label, nobody knows which of the arms is better.

Sums of crowds are additive, and every process draws the same crowds: what several processes know, and those that are no
more, is joined by adding it, crowd by crowd (`pool`). A label is counted by the one process that made its decision.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import log, sqrt
from typing import Any, Final, NamedTuple

import numpy as np

METHOD: Final = "brier gain, clusters of customers, time-uniform normal mixture"
ALPHA: Final = 0.01  # that the interval misses the truth at any look
CROWDS: Final = 50  # in either arm
LABELS: Final = 1000  # in either arm, matured
_TIGHTEST: Final = 0.002  # standard error at which the interval is as short as can be: of gains near a hundredth
_N, _WEIGHT, _LOSS, _REFUSED = range(4)  # of a crowd: labels, their weight, their weighted loss, those of refusals


class Labelled(NamedTuple):
    """One labelled decision in a split."""

    at_ns: int  # when it was decided
    crowd: int  # of its customer, 1 … 255
    loss: float  # (score - label)²
    weight: float  # one over the probability with which a decision like it was allowed
    refused: bool


class Evidence(NamedTuple):
    """What one process knows of both arms by matured labels: of that which was there before, and of the new one."""

    sums: np.ndarray  # float64[arm, crowd, 4]
    refused: tuple[bool, bool]  # whether that arm has ever decided to refuse


class Interval(NamedTuple):
    """The gain of the new version: the Brier score of the other arm less its own. None where `why` says why."""

    gain: float | None
    lower: float | None
    upper: float | None
    why: str


class Gain:
    """Losses of both arms, as sums of each crowd; those of one cohort apart until it has matured.

    Args:
        since_ns: when the split began.
        width_ns: of a cohort.
    """

    __slots__ = ("_closed_ns", "_refused", "_sums", "_width_ns", "_young", "matured_before_ns", "since_ns")

    def __init__(self, since_ns: int, width_ns: int) -> None:
        self.since_ns = since_ns
        self.matured_before_ns = 0
        self._width_ns = width_ns
        self._closed_ns = 0  # no label of a decision before this moment counts any more
        self._young: dict[int, np.ndarray] = {}  # start of a cohort → float64[arm, crowd, 4]
        self._sums = np.zeros((2, 256, 4))  # of the arm that was there before, and of the new one
        self._refused = [False, False]  # whether that arm has ever decided to refuse

    def refused(self, *, new: bool) -> None:
        """A decision to refuse, also one that was allowed at random."""
        self._refused[new] = True

    def add(self, one: Labelled, *, new: bool) -> None:
        """One label of the new version's arm, or of the other."""
        start = one.at_ns - one.at_ns % self._width_ns
        if start < self._closed_ns:
            return
        if start not in self._young:
            self._young[start] = np.zeros_like(self._sums)
        told = one.refused or one.weight > 1
        self._young[start][int(new), one.crowd] += (1, one.weight, one.weight * one.loss, told)

    def mature(self, before_ns: int, given_up: Iterable[int] = ()) -> None:
        """Labels of decisions made before that moment are in.

        Args:
            before_ns: end of a cohort.
            given_up: starts of cohorts whose labels are not waited for any longer. Those that came may be of one
                outcome, so nothing of such a cohort counts, nor what comes of it, or of an older one, later.
        """
        for start in given_up:
            self._young.pop(start, None)
            self._closed_ns = max(self._closed_ns, start + self._width_ns)
        for start in sorted(start for start in self._young if start + self._width_ns <= before_ns):
            self._sums += self._young.pop(start)
        self.matured_before_ns = before_ns

    def evidence(self) -> Evidence:
        """What has matured."""
        return Evidence(self._sums, (self._refused[0], self._refused[1]))

    def view(self, others: Sequence[Evidence] = ()) -> dict[str, Any]:
        """The gain by this process' labels and those of others."""
        known = [self.evidence(), *others]
        joined, heard = join(known), sum(bool(each.sums.any()) for each in known)
        found, labels = interval(joined), joined.sums[:, :, _N].sum(axis=1).astype(int).tolist()
        return {
            "method": METHOD, "confidence": 1 - ALPHA, "since_ns": self.since_ns,
            "matured_before_ns": self.matured_before_ns, "labels": {"before": labels[0], "new": labels[1]},
            "processes": heard, "gain": found.gain, "from": found.lower, "to": found.upper, "why": found.why,
        }  # fmt: skip


def join(known: Sequence[Evidence]) -> Evidence:
    """The evidence of several processes as one."""
    before, new = (any(each.refused[arm] for each in known) for arm in (0, 1))
    return Evidence(np.sum([each.sums for each in known], axis=0), (before, new))


def interval(known: Evidence) -> Interval:
    """By how much the new arm has the lower loss."""
    labels = known.sums[:, :, _N].sum(axis=1)
    crowds = (known.sums[:, :, _N] > 0).sum(axis=1)
    seen = known.sums[:, :, _REFUSED].sum(axis=1)
    if any(refused and not n for refused, n in zip(known.refused, seen, strict=True)):
        return Interval(None, None, None, "an arm refuses, and no refusal has a matured label")
    if labels.min() < LABELS or crowds.min() < CROWDS:
        few = f"{int(labels.min())} labels of {int(crowds.min())} crowds in the smaller arm"
        return Interval(None, None, None, f"{few}, {LABELS} of {CROWDS} are needed")
    (before, error), (new, its_error) = map(_mean, known.sums)
    if not (error and its_error):
        return Interval(None, None, None, "all crowds of an arm are alike, which no sample of customers is")
    gain, reach = before - new, _reach(error**2 + its_error**2)
    return Interval(gain, gain - reach, gain + reach, "")


def _mean(crowds: np.ndarray) -> tuple[float, float]:
    """(mean loss, its standard error over crowds)."""
    met = crowds[crowds[:, _N] > 0]
    total = met[:, _WEIGHT].sum()
    mean = float(met[:, _LOSS].sum() / total)
    residual = met[:, _LOSS] - mean * met[:, _WEIGHT]
    return mean, sqrt(len(met) / (len(met) - 1) * float(residual @ residual)) / float(total)


def _reach(variance: float) -> float:
    """Half of the interval's length, where the difference has that variance."""
    information, prior = 1 / variance, _PRIOR
    return sqrt((information + prior) * log((information + prior) / (prior * ALPHA**2))) / information


# The mixture's variance that makes the boundary tightest at that information (Waudby-Smith et al., appendix).
_PRIOR: Final = _TIGHTEST**-2 / (-2 * log(ALPHA) + log(1 - 2 * log(ALPHA)))

"""Quality, told only of cohorts old enough that their labels are in, and never where decisions hide the truth.

Early labels lie: quick ones are the obvious ones. A cohort is the decisions of one interval; it is *matured* once all
of it is older than the label horizon, by which 99 % of labels are in, and they are in. Where they are not, because
nobody works on a weekend or a feed is down, those that did come may be of one outcome, so the cohort and all later ones
wait: for the labels, or until patience ends. Then it is counted for what it is worth, and never tested: a loss of which
a share 1 - c is missing is at most 1/c of the true one, so that `share` keeps absence alone from looking like harm.
Younger cohorts have an estimate of their own:
each label is weighted by one over the share of labels of its outcome that matured cohorts had got at that age
(Horvitz and Thompson, JASA 1952). Beside it stands what a naive look at them says, as a warning.

Where a refusal keeps the truth from ever being known, no number is told: the status is *unidentifiable*. What
identifies it is a slice of refusals that were allowed at random, each counting for all those it stands for. The test of
losses weighs nothing: each label is one loss, also that of a refusal which others stand for in the estimate.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from typing import Any, ClassVar, Final, Literal, NamedTuple

import numpy as np

from reference_service.core.evidence import ripe
from reference_service.monitor.awaited import Awaited
from reference_service.monitor.keeping import keep, recall

Status = Literal["matured", "insufficient", "provisional", "unidentifiable"]
_AGES: Final = 128  # steps in which the horizon's arrivals are counted
_EDGES: Final = np.arange(_AGES + 1)
_TRUSTED: Final = 200  # labels of an outcome whose arrivals say how labels of it arrive
_ARRIVED: Final = 0.1  # a cohort of which fewer labels are in by now says too little to be weighted
# Kinds of labels, each by outcome: of no refusal, of a refusal, of one that was allowed, of one that is stood for.
_REFUSED: Final = 2
_ALLOWED: Final = 4
_STOOD_FOR: Final = 6
_CHANCE: Final = 0.01  # that all labels of refused decisions are missing by bad luck


class Estimate(NamedTuple):
    """Quality of some labelled decisions. Rates are None while there is nothing to estimate from, or must not be."""

    status: Status
    n: int
    positive_rate: float | None
    brier: float | None


class Quality(NamedTuple):
    """What is known: first of matured cohorts, then of the younger ones, weighted and naive."""

    as_of_ns: int
    matured_before_ns: int
    status: Status
    n: int
    positive_rate: float | None
    brier: float | None
    coverage: float | None  # share of the model's matured decisions that have a label
    weighted: Estimate
    naive: Estimate


# Of one outcome: labels, their weight, their weighted loss.
_Sums = list[float]
_N, _WEIGHT, _LOSS = range(3)


def _new() -> list[_Sums]:
    return [[0.0] * 3, [0.0] * 3]


def _added(a: list[_Sums], b: list[_Sums], factors: tuple[float, float] = (1.0, 1.0)) -> list[_Sums]:
    """The sums of both, the weights of `b` times its outcome's factor."""
    return [
        [x[_N] + y[_N], x[_WEIGHT] + y[_WEIGHT] * factor, x[_LOSS] + y[_LOSS] * factor]
        for x, y, factor in zip(a, b, factors, strict=True)
    ]


class _Cohort:
    """Labelled decisions of one interval. Kind, age and loss of each are remembered until the cohort matures.

    The loss is None where it is no evidence about the version that serves. Numbers and not objects: at any moment there
    are hundreds of thousands, and nobody touches them for days.
    """

    __slots__ = ("losses", "marks", "sums")

    def __init__(self) -> None:
        self.sums = _new()
        self.marks = array("H")  # kind and age in one
        self.losses = array("d")  # NaN: None

    @property
    def labels(self) -> list[tuple[int, int, float | None]]:
        """(kind, age, loss) of each."""
        return [
            (mark // _AGES, mark % _AGES, None if math.isnan(loss) else loss)
            for mark, loss in zip(self.marks, self.losses, strict=True)
        ]

    def add(self, kind: int, age: int, loss: float | None) -> None:
        """One more."""
        self.marks.append(kind * _AGES + age)
        self.losses.append(math.nan if loss is None else loss)


class Cohorts:
    """Losses by when the decision was made. Memory is bounded by the horizon: what has matured is only sums.

    Args:
        horizon_ns: age at which a cohort counts as matured.
        width_ns: length of a cohort.
        block_ns: losses of one such block count as one, their mean: what moves whole days at once would look like
            thousands of independent proofs, row by row. 0: each for itself.
        share: of decisions that were no refusals, which must have their label; 0: whatever has come by the horizon.
        patience_ns: how long after the horizon they are waited for.
    """

    __slots__ = ("_arrivals", "_block", "_block_ns", "_censored", "_cohorts", "_decided", "_due", "_given_up",
                 "_given_up_ns", "_horizon_ns", "_judged_ns", "_looked_ns", "_losses", "_matured", "_patience_ns",
                 "_recent", "_share", "_width_ns", "missing")  # fmt: skip
    KEPT: ClassVar[tuple[str, ...]] = (
        "_arrivals", "_block", "_censored", "_decided", "_given_up_ns", "_judged_ns", "_losses", "_matured",
        "missing",
    )  # fmt: skip

    def __init__(
        self, horizon_ns: int, width_ns: int, block_ns: int = 0, *, share: float = 0.0, patience_ns: int = 0
    ) -> None:
        self._horizon_ns = horizon_ns
        self._width_ns = width_ns
        self._cohorts: dict[int, _Cohort] = {}
        self._recent: dict[int, list[int]] = {}  # start → decisions of the model, refusals among them
        self._due = Awaited()  # the labels of both
        self._decided = [0, 0]  # the same of matured intervals
        self._censored = [0, 0]  # labels of refused decisions, and of allowed refusals, in matured cohorts
        self._matured = _new()
        self._losses: list[float] = []  # of cohorts that matured since they were last asked for
        self._block_ns = block_ns
        self._block: tuple[int, int, float] = (0, 0, 0.0)  # the youngest with matured losses: start, how many, sum
        self._arrivals = np.zeros((2, _AGES), dtype=np.int64)  # by outcome and age, of matured cohorts
        self._judged_ns = 0  # decisions before this instant are matured
        self._looked_ns = 0
        self._share = share
        self._patience_ns = patience_ns
        self.missing = False  # whether decisions of the last horizon that matured did so without their labels
        self._given_up_ns = 0  # the last interval that did
        self._given_up: list[int] = []  # those that did since they were last asked for

    def decided(self, seen_ns: int, n: int, refused: int) -> None:
        """At this moment the model decided `n` times, and refused `refused` of them (some may have been allowed)."""
        counts = self._recent.setdefault(seen_ns - seen_ns % self._width_ns, [0, 0])
        counts[0] += n
        counts[1] += refused
        self._due.add(0, seen_ns // self._width_ns, n - refused)

    def add(
        self,
        seen_ns: int,
        score: float,
        label: int,
        arrived_ns: int,
        *,
        refused: bool = False,
        propensity: float = 1.0,
        tested: bool = True,
        stood_for: bool = False,
    ) -> None:
        """One labelled decision. A straggler joins its matured cohort's estimate, though no longer its test.

        Args:
            seen_ns: when the decision was made.
            score: of the model.
            label: 0 or 1.
            arrived_ns: when the label came.
            refused: whether the decision was a refusal.
            propensity: with which probability a decision like it was allowed; below 1 it stands for others.
            tested: whether the version that serves made it: the loss of another is no evidence about this one.
            stood_for: a refusal that nobody drew where others were allowed: it is tested, and counts in no estimate.
        """
        start = seen_ns - seen_ns % self._width_ns
        loss, weight, explored = (score - label) ** 2, 1 / propensity, propensity < 1
        if start < self._judged_ns:
            if stood_for:
                return
            self._censored[explored] += refused or explored
            sums = self._matured[label]
        else:
            cohort = self._cohorts.get(start)
            if cohort is None:
                cohort = self._cohorts[start] = _Cohort()
            sums = cohort.sums[label]
            old_ns = arrived_ns - seen_ns
            age = _AGES - 1 if old_ns >= self._horizon_ns else max(0, old_ns) * _AGES // self._horizon_ns
            kind = label + (_STOOD_FOR if stood_for else _ALLOWED if explored else _REFUSED * refused)
            cohort.add(kind, age, loss if tested else None)
            if stood_for:
                return
            self._due.add(1, start // self._width_ns, int(kind < _REFUSED))  # those of refusals are not expected
        sums[_N] += 1
        sums[_WEIGHT] += weight
        sums[_LOSS] += weight * loss

    def start(self) -> None:
        """Another version serves: what is known of the one before goes on counting, and is no evidence about it."""
        self._losses, self._block = [], (0, 0, 0.0)
        for cohort in self._cohorts.values():
            cohort.losses = array("d", [math.nan]) * len(cohort.losses)

    def judged(self) -> tuple[int, list[int]]:
        """(decisions made before this instant were matured at the last look, cohorts given up since the last call)."""
        given_up, self._given_up = self._given_up, []
        return self._judged_ns, given_up

    def matured_before_ns(self, now_ns: int) -> int:
        """Decisions made before this instant are old enough at `now_ns`: the end of the youngest such cohort."""
        edge = now_ns - self._horizon_ns
        return max(0, edge - edge % self._width_ns)

    def matured_losses(self, now_ns: int) -> list[float]:
        """Losses of cohorts that have matured since the last call, oldest first; of blocks, the mean of each."""
        self._mature(now_ns)
        losses, self._losses = self._losses, []
        return losses

    def quality(self, now_ns: int) -> Quality:
        """What is known at this moment."""
        self._mature(now_ns)
        matured = self._estimate("matured", self._matured)
        coverage = min(1.0, matured.n / self._decided[0]) if self._decided[0] else None
        return Quality(
            now_ns,
            self._judged_ns,
            *matured,
            coverage,
            self._young(now_ns, weighted=True),
            self._young(now_ns, weighted=False),
        )

    def keep(self) -> dict[str, Any]:
        """Everything, for a restart."""
        return {
            "cohorts": [(start, c.sums, c.labels) for start, c in self._cohorts.items()],
            "recent": list(self._recent.items()),
            "self": keep(self),
        }

    def recall(self, kept: dict[str, Any]) -> None:
        """The reverse of `keep`. Raises ValueError, and then nothing of it was taken."""
        if any(start % self._width_ns for start, *_ in (*kept["cohorts"], *kept["recent"])):
            raise ValueError("cohorts were of another width")
        cohorts, recent = {}, {start: list(counts) for start, counts in kept["recent"]}
        for start, sums, labels in kept["cohorts"]:
            cohorts[start] = cohort = _Cohort()
            cohort.sums = sums
            for label in labels:
                cohort.add(*label)
        recall(self, kept["self"])
        self._cohorts, self._recent, self._due = cohorts, recent, Awaited()
        for start, (n, refused) in recent.items():
            self._due.add(0, start // self._width_ns, n - refused)
        for start, cohort in cohorts.items():
            self._due.add(1, start // self._width_ns, sum([kind < _REFUSED for kind, _, _ in cohort.labels]))

    def _mature(self, now_ns: int) -> None:
        """What has matured becomes sums; oldest first, and as many cohorts together as it takes to have the labels."""
        old = self.matured_before_ns(now_ns)
        if old <= self._looked_ns:
            return  # asked every tick; cohorts come of age once in their width
        self._looked_ns = old
        due, width = self._due, self._width_ns
        expired = (old - self._patience_ns) // width
        while (counts := due.before(old // width)).size:
            first = due.first
            given_up = first < expired and counts[1, 0] < self._share * counts[0, 0]
            n = 1 if given_up else ripe(counts, self._share)
            if not n:
                break
            self._take(range(first * width, (first + n) * width, width), complete=not given_up)
            due.drop(n)
        self._judged_ns = max(self._judged_ns, due.first * width if counts.size else old)

    def _take(self, starts: Iterable[int], *, complete: bool) -> None:
        """These cohorts are matured. What is not complete is counted, and not judged."""
        arrivals = self._arrivals.data  # a view, whose single values cost a third of an array's
        for start in starts:
            decided, cohort = self._recent.pop(start, None), self._cohorts.pop(start, None)
            if decided is not None:
                self._decided[0] += decided[0]
                self._decided[1] += decided[1]
            if decided is not None or cohort is not None:  # an interval without any decision says nothing
                self._noted(start, complete=complete)
            if cohort is None:
                continue
            self._matured = _added(self._matured, cohort.sums)
            for kind, age, loss in cohort.labels:
                if complete and loss is not None:
                    self._lost(start, loss)
                if kind >= _STOOD_FOR:
                    continue
                arrivals[kind & 1, age] += 1
                if kind >= _REFUSED:
                    self._censored[kind >= _ALLOWED] += 1

    def _noted(self, start: int, *, complete: bool) -> None:
        """Of a feed that is down for some, a minute now and then is complete: only a horizon of such is an end."""
        if not complete:
            self.missing, self._given_up_ns = True, start
            self._given_up.append(start)
        elif start - self._given_up_ns >= self._horizon_ns:
            self.missing = False

    def _lost(self, start: int, loss: float) -> None:
        """One matured loss. A block is told once a later one begins to mature."""
        if not self._block_ns:
            self._losses.append(loss)
            return
        begun, n, total = self._block
        block = start - start % self._block_ns
        if n and block != begun:
            self._losses.append(total / n)
            n, total = 0, 0.0
        self._block = (block, n + 1, total + loss)

    def _estimate(self, status: Status, sums: list[_Sums]) -> Estimate:
        zero, one = sums
        n, weight = int(zero[_N] + one[_N]), zero[_WEIGHT] + one[_WEIGHT]
        if not n:
            return Estimate("insufficient", 0, None, None)
        if self._hidden():
            return Estimate("unidentifiable", n, None, None)
        return Estimate(status, n, one[_WEIGHT] / weight, (zero[_LOSS] + one[_LOSS]) / weight)

    def _hidden(self) -> bool:
        """Whether refusals keep their truth: none of them has a label, which chance hardly explains."""
        n, refused = self._decided
        if not refused or any(self._censored):
            return False
        labels = self._matured[0][_N] + self._matured[1][_N]
        seen = min(1.0, labels / max(1, n - refused))
        return refused * math.log(max(1 - seen, 1e-12)) < math.log(_CHANCE)

    def _young(self, now_ns: int, *, weighted: bool) -> Estimate:
        """Of cohorts that have not matured: provisional, however it is made."""
        arrived = self._arrivals.cumsum(axis=1)
        if weighted and arrived[:, -1].min() < _TRUSTED:
            return Estimate("insufficient", 0, None, None)
        total, curves = _new(), [np.append(0, each / max(1, each[-1])) for each in arrived]
        for start, cohort in self._cohorts.items():
            factors = (1.0, 1.0)
            if weighted:
                # Shares of their labels that either outcome has by now, at the age of the cohort's middle.
                age = (now_ns - start - self._width_ns / 2) / self._horizon_ns * _AGES
                zero, one = (float(np.interp(age, _EDGES, curve)) for curve in curves)
                if min(zero, one) < _ARRIVED:
                    continue
                factors = (1 / zero, 1 / one)
            total = _added(total, cohort.sums, factors)
        return self._estimate("provisional", total)

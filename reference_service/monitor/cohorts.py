"""Quality, told only of cohorts old enough that their labels are in.

Early labels lie: quick ones are the obvious ones. A cohort is the decisions of one minute; it is *matured* once all
of it is older than the label horizon. Until then its labels are collected and not looked at.
"""

from __future__ import annotations

from typing import NamedTuple


class Quality(NamedTuple):
    """An estimate over matured cohorts. Rates are None while there is nothing to estimate from."""

    as_of_ns: int
    matured_before_ns: int
    n: int
    positive_rate: float | None
    brier: float | None


class _Cohort:
    """Labelled decisions of one interval."""

    __slots__ = ("losses", "n", "positives", "squares")

    def __init__(self) -> None:
        self.n = 0
        self.positives = 0
        self.squares = 0.0
        self.losses: list[float] = []  # until the cohort has been judged


class Cohorts:
    """Losses by when the decision was made.

    Args:
        horizon_ns: age at which a cohort counts as matured.
        width_ns: length of a cohort.
    """

    __slots__ = ("_cohorts", "_horizon_ns", "_judged_ns", "_width_ns")

    def __init__(self, horizon_ns: int, width_ns: int) -> None:
        self._horizon_ns = horizon_ns
        self._width_ns = width_ns
        self._cohorts: dict[int, _Cohort] = {}
        self._judged_ns = 0

    def add(self, seen_ns: int, score: float, label: int) -> None:
        """One labelled decision. A straggler joins its matured cohort's estimate, though no longer its test."""
        start = seen_ns - seen_ns % self._width_ns
        cohort = self._cohorts.get(start)
        if cohort is None:
            cohort = self._cohorts[start] = _Cohort()
        loss = (score - label) ** 2
        cohort.n += 1
        cohort.positives += label
        cohort.squares += loss
        if start >= self._judged_ns:
            cohort.losses.append(loss)

    def matured_before_ns(self, now_ns: int) -> int:
        """Decisions made before this instant are matured at `now_ns`: the end of the youngest matured cohort."""
        edge = now_ns - self._horizon_ns
        return max(0, edge - edge % self._width_ns)

    def matured_losses(self, now_ns: int) -> list[float]:
        """Losses of cohorts that have matured since the last call, oldest first."""
        before = self.matured_before_ns(now_ns)
        losses: list[float] = []
        for start in sorted(start for start in self._cohorts if self._judged_ns <= start < before):
            cohort = self._cohorts[start]
            losses.extend(cohort.losses)
            cohort.losses = []
        self._judged_ns = max(self._judged_ns, before)
        return losses

    def quality(self, now_ns: int) -> Quality:
        """The estimate over every matured cohort."""
        before = self.matured_before_ns(now_ns)
        matured = [cohort for start, cohort in sorted(self._cohorts.items()) if start < before]
        n = sum(cohort.n for cohort in matured)
        if not n:
            return Quality(now_ns, before, 0, None, None)
        positives = sum(cohort.positives for cohort in matured)
        return Quality(now_ns, before, n, positives / n, sum(cohort.squares for cohort in matured) / n)

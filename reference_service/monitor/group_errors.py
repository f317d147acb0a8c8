"""Does the model err more often about one group than about the others? Judged by labels, once they are all in.

False positives: decisions other than *approve* where the truth was negative, of all negatives. False negatives:
approvals of all positives. Each rate has an interval (Clopper and Pearson). Like quality they are told of cohorts
older than the label horizon only: early labels differ between groups for reasons of their own. Where a refusal keeps
its truth from being known, the rates are about decisions that were no refusals, unless a share of refusals is let
through at random: then they are about all decisions (`bounds.Rates`).

Groups may differ lawfully, for their base rates do (Chouldechova, Big Data 2017), so what is unfair is no constant. The
gap that is allowed is learned from training: what the rows that the model was held out from do not exclude, and a
little above (`error_excess`). An operator who knows better says it (`error_gap`). A group is harmed while its rate is
surely above all others' by more than that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isclose
from typing import Any, ClassVar, Final

import numpy as np

from reference_service.bounds import Rates, most_apart
from reference_service.core.cells import N_VALUE_CELLS
from reference_service.monitor.alerts import Condition
from reference_service.monitor.groups import NOBODY, GroupMonitor
from reference_service.monitor.keeping import keep, recall
from reference_service.policy import Policy

Learned = Mapping[str, Sequence[Sequence[int]]]
_DOUBT: Final = 0.01  # that training excludes by bad luck what is so, about any group
KINDS: Final = ("false_positive", "false_negative")  # of a label of 0, of 1
_LOOSE: Final = 0.02  # what a rate must exclude, at both ends, for an alarm to go on
_REFUSAL_IS_WRONG: Final = np.array([True, False])  # of each


class GroupErrors:
    """Errors of one version by the groups that a `GroupMonitor` knows.

    Args:
        groups: the groups; none if the policy names no field.
        policy: the label horizon, the gap, and how many labels are looked at together.
        learned: `Profile.group_errors` of the version.
    """

    KEPT: ClassVar[tuple[str, ...]] = ("_before", "_now", "firing", "worst")

    def __init__(self, groups: GroupMonitor, policy: Policy, learned: Learned) -> None:
        self._groups = groups
        self._policy = policy
        self._young: dict[int, list[int]] = {}  # start of a cohort → as below, row by row: lists are quick to add to
        # int64[cells, label, (right, wrong, refused and let through)] of matured labels, of the batch that is being
        # filled and of the one before: the recent past, and no more.
        self._now = np.zeros((N_VALUE_CELLS, 2, 3), dtype=np.int64)
        self._before = np.zeros_like(self._now)
        self._allowed = self._gaps(learned)  # float64[cells, kind]; None: nothing is told
        self._judged_ns = 0  # cohorts that began before are in it
        self._stale = False  # labels have come in since the last judgement
        self.firing = False
        self.worst = ""
        self._standing = [] if self._allowed is None else self._told()

    def add(
        self, value: float, label: int, *, approved: bool, seen_ns: int, now_ns: int, propensity: float = 1.0
    ) -> None:
        """One labelled decision.

        Args:
            value: of the group's field, as encoded; null and unseen belong to no group.
            label: 0 or 1.
            approved: whether the decision was *approve*.
            seen_ns: when it was made; a straggler's cohort has been judged without it.
            now_ns: now.
            propensity: with which probability a decision like it was let through; below 1 it was a refusal. One of
                another share than is let through now says nothing of those of now.
        """
        let_through = propensity < 1
        if let_through and not isclose(propensity, self._policy.explore_share, rel_tol=1e-5):
            return
        start = seen_ns - seen_ns % self._policy.cohort_ns
        if self._groups.position == NOBODY or not value >= 0 or start < self._matured_ns(now_ns):
            return
        counts = self._young.get(start)
        if counts is None:
            counts = self._young[start] = [0] * self._now.size
        kind = 2 if let_through else approved == bool(label)
        counts[6 * self._groups.cell(value) + 3 * label + kind] += 1

    def tick(self, now_ns: int) -> list[Condition]:
        """Take in the cohorts that have matured, and judge."""
        matured = self._matured_ns(now_ns)
        if matured > self._judged_ns and min(self._young, default=matured) < matured:
            for start in sorted(start for start in self._young if start < matured):
                self._now += np.array(self._young.pop(start)).reshape(self._now.shape)
                self._stale = True
                if self._now.sum() >= self._policy.error_rows:
                    self._before, self._now = self._now, np.zeros_like(self._now)
        self._judged_ns = matured
        # The same labels say the same again, and there are many ticks to a cohort.
        if self._stale and self._allowed is not None:
            self._stale = False
            self._judge(self._allowed)
            self._standing = self._told()
        return self._standing

    def view(self) -> dict[str, dict[str, Any]]:
        """Group → labels of it, and of each kind the rate with its interval at 99 % (null where there is nothing)."""
        rates = self._rates(self._before + self._now)
        total, rate, (low, high) = rates.known, rates.rate, rates.between(0.01)
        return {
            self._groups.label(cell) or "others": {
                "n": int(total[cell].sum()),
                **{
                    kind: {
                        "rate": float(rate[cell, k]),
                        "from": float(low[cell, k]),
                        "to": float(high[cell, k]),
                        "gap_allowed": None if self._allowed is None else float(self._allowed[cell, k]),
                    }
                    if total[cell, k]
                    else None
                    for k, kind in enumerate(KINDS)
                },
            }
            for cell in np.flatnonzero(total.sum(axis=1)).tolist()
        }

    def keep(self) -> dict[str, Any]:
        """Everything, for a restart."""
        return {"self": keep(self), "young": list(self._young.items()), "share": self._policy.explore_share}

    def recall(self, kept: dict[str, Any]) -> None:
        """The reverse of `keep`. Raises ValueError, and then nothing of it was taken."""
        if kept["share"] != self._policy.explore_share:
            raise ValueError("another share of refusals was let through")
        if any(len(counts) != self._now.size for _, counts in kept["young"]):
            raise ValueError("young was of another shape")
        recall(self, kept["self"])
        self._stale = True  # what is allowed may be another gap now
        self._young = {start: list(counts) for start, counts in kept["young"]}

    def _told(self) -> list[Condition]:
        return [Condition("error_rates", self._policy.group_field, "page", self.firing, self.worst)]

    def _judge(self, allowed: np.ndarray) -> None:
        counts, alpha = self._before + self._now, self._policy.alpha
        mine, others = self._rates(counts), self._rates(counts.sum(axis=0) - counts)
        gap = mine.rate - others.rate  # NaN, and thus no larger than anything, where there is nothing to compare
        # Bounds cost far more than what they cannot exceed: the gap that is seen, and, after k wrong decisions of
        # however many, what k of k prove.
        near = (gap > allowed) & (mine.most(alpha) > allowed)
        if near.any():
            beyond = mine.at(near).between(2 * alpha)[0] - others.at(near).between(2 * alpha)[1] - allowed[near]
            worst = int(beyond.argmax())
            if beyond[worst] > 0:
                self.firing = True
                cell, kind = np.argwhere(near)[worst].tolist()
                self.worst = f"{self._groups.label(cell) or 'a group'} has more {KINDS[kind]}s than the others"
                return
        if self.firing:
            apart = gap > allowed / 2
            if self._policy.explore_share:  # a few that stand for many move the rate: what is left of it by 99 %
                low, high = mine.at(apart).between(_LOOSE)[0], others.at(apart).between(_LOOSE)[1]
                self.firing = bool((low > high).any())
            else:
                self.firing = bool(apart.any())

    def _gaps(self, learned: Learned) -> np.ndarray | None:
        """float64[cells, kind]: how much more often it may be wrong about each group than about the others."""
        policy = self._policy
        if self._groups.position == NOBODY or not (policy.error_gap or learned):
            return None
        if policy.error_gap:
            return np.full((N_VALUE_CELLS, 2), policy.error_gap)
        counts = np.zeros((N_VALUE_CELLS, 2, 2), dtype=np.int64)
        for name, both in learned.items():
            counts[self._groups.named(name)] += np.array(both)
        most = most_apart(counts[:, :, 0], counts[:, :, 1], _DOUBT / counts[:, :, 0].size)
        # Whom it was wrong about more seldom than about the others is not harmed until that is the other way round.
        return np.asarray(np.maximum(most, 0.0) + policy.error_excess)

    def _matured_ns(self, now_ns: int) -> int:
        edge = now_ns - self._policy.label_horizon_ns
        return edge - edge % self._policy.cohort_ns

    def _rates(self, counts: np.ndarray) -> Rates:
        return Rates(counts[..., 0], counts[..., 1], counts[..., 2], _REFUSAL_IS_WRONG, self._policy.explore_share)

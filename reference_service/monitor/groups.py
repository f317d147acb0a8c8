"""Is one group of people served worse than the others? Judged by who is not answered by the model.

A window is unfair to a group when its share of rows that were refused or answered by a default or fallback is surely
(Clopper and Pearson, at the budget's alpha) above everybody else's by more than the gap that the policy allows. Two
such windows of the last three page; three in a row without clear. The groups are those cells of the declared field
that the monitors count: its eleven most common categories, and all others together.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Any, ClassVar, Final

import numpy as np

from reference_service.bounds import least_apart
from reference_service.bundle import Bundle
from reference_service.core.cells import N_VALUE_CELLS
from reference_service.monitor.alerts import Condition
from reference_service.monitor.keeping import keep, recall
from reference_service.policy import Policy

NOBODY: Final = -1


class GroupMonitor:
    """Rates of the groups of one field. A policy that names no field has none.

    Args:
        bundle: whose contract has the field.
        policy: the field, the gap, and when to page.
        started_ns: windows are counted from here.
    """

    KEPT: ClassVar[tuple[str, ...]] = ("_bad", "_calm", "_closes_ns", "_hot", "_total", "firing", "worst")

    def __init__(self, bundle: Bundle, policy: Policy, started_ns: int) -> None:
        fields = bundle.contract.fields
        names = [field.name for field in fields]
        self._policy = policy
        self.position = names.index(policy.group_field) if policy.group_field in names else NOBODY
        self.degraded: Counter[float] = Counter()  # value as encoded → rows; counted by the pipeline, rare as they are
        self._closes_ns = started_ns + policy.window_ns
        self._bad = np.zeros(N_VALUE_CELLS, dtype=np.int64)
        self._total = np.zeros(N_VALUE_CELLS, dtype=np.int64)
        self._hot: deque[bool] = deque(maxlen=policy.drift_of)
        self._calm = 0
        self.firing = False
        self.worst = ""
        field = fields[self.position]
        self._labels = _labels(bundle, self.position) if self.position != NOBODY else [""] * N_VALUE_CELLS
        self._cell = {float(k): self._labels.index(name) for k, name in enumerate(field.categories)
                      if name in self._labels}  # fmt: skip
        self._standing = self._told()  # between the ends of windows it is the same

    def tick(self, now_ns: int, counts: np.ndarray) -> list[Condition]:
        """Take in int64[f, 14] counts of what was received; judge where a window has closed."""
        if self.position == NOBODY:
            return []
        self._total += counts[self.position, :N_VALUE_CELLS]
        if self.degraded:
            for value, rows in self.degraded.items():
                if value >= 0:  # neither null nor unseen: that is another alert's affair
                    self._bad[self.cell(value)] += rows
            self.degraded.clear()
        if now_ns >= self._closes_ns:
            self._close()
            while self._closes_ns <= now_ns:
                self._closes_ns += self._policy.window_ns
            self._standing = self._told()
        return self._standing

    def cell(self, value: float) -> int:
        """The group of a value as encoded, by number."""
        return self._cell.get(value, N_VALUE_CELLS - 1)

    def named(self, category: str) -> int:
        """The group of a category, by number."""
        return self._labels.index(category) if category in self._labels else N_VALUE_CELLS - 1

    def label(self, cell: int) -> str:
        """The category of a group, "" where it holds several."""
        return self._labels[cell]

    def keep(self) -> dict[str, Any]:
        """What is worth keeping over a restart."""
        return keep(self)

    def recall(self, kept: dict[str, Any]) -> None:
        """The reverse of `keep`."""
        recall(self, kept)
        self._standing = self._told()

    def _told(self) -> list[Condition]:
        summary = f"{self.worst} is served worse than the others"
        return [Condition("fairness", self._policy.group_field, "page", self.firing, summary)]

    def _close(self) -> None:
        policy = self._policy
        hot = False
        if any(self._bad.tolist()):
            gap = least_apart(self._bad, np.maximum(self._total, self._bad), policy.alpha)
            hot = bool(gap.max() > policy.fairness_gap)
            if hot:
                self.worst = self._labels[int(gap.argmax())] or "a group"
        self._hot.append(hot)
        self._calm = 0 if hot else self._calm + 1
        if not self.firing and sum(self._hot) >= policy.drift_hot:
            self.firing = True
        elif self.firing and self._calm >= policy.drift_calm:
            self.firing = False
            self._hot.clear()
        self._bad[:] = 0
        self._total[:] = 0


def _labels(bundle: Bundle, position: int) -> list[str]:
    """The category of each value cell; of the last one, "" if it holds several."""
    categories = bundle.contract.fields[position].categories
    labels = [""] * N_VALUE_CELLS
    seen = [0] * N_VALUE_CELLS
    for name, cell in zip(categories, bundle.cells()[position].tolist(), strict=False):
        seen[cell] += 1
        labels[cell] = name if seen[cell] == 1 else ""
    return labels

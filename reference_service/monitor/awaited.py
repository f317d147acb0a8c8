"""How many decisions wait for a label, and how many labels have come, by interval: of a span that moves on.

Days of minutes may be waited for at once, and are looked at every minute: in one array, which sums come from at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np


class Awaited:
    """Counts of decisions (0) and of labels (1), from the oldest interval that is not done with."""

    __slots__ = ("_counts", "_each", "first")

    def __init__(self) -> None:
        self._hold(np.zeros((2, 0), dtype=np.int64))
        self.first = 0  # the number of the oldest interval

    def add(self, what: int, interval: int, n: int) -> None:
        """Count `n` more: 0: decisions, 1: labels."""
        if not self._counts.size:
            self.first = interval
        at, have = interval - self.first, self._counts.shape[1]
        if not 0 <= at < have:
            before = max(0, -at)
            grown = np.zeros((2, before + max(2 * have, at + 64)), dtype=np.int64)
            grown[:, before : before + have] = self._counts
            self._hold(grown)
            self.first, at = self.first - before, at + before
        self._each[what, at] += n

    def before(self, interval: int) -> np.ndarray:
        """int64[2, k] of the oldest k, all of those before this one."""
        return self._counts[:, : max(0, interval - self.first)]

    def drop(self, n: int) -> None:
        """The oldest `n` are done with."""
        self._hold(self._counts[:, n:])
        self.first += n

    def _hold(self, counts: np.ndarray) -> None:
        self._counts = counts
        self._each: Any = counts.data  # a view, whose single values cost a third of an array's

"""What a call about n rows costs, a·n + b, from the calls that were made; and what follows for calling.

Two rules, each from the sum of all callers' waiting that it makes least. They know no percentile: a caller's own
deadline is kept elsewhere.
"""

from __future__ import annotations

import math
from typing import Final

_MEMORY: Final = 64.0  # calls that count: a model that slows down is known within a second at most rates
_SPREAD: Final = 1.0  # sum of squares of sizes about their mean, in squared means; of less, a slope would be noise
LEAST_NS: Final = 1_000_000  # event loops wake up no finer: a shorter wait would last as long


class CallCost:
    """A line through (rows, nanoseconds), by least squares with exponential forgetting; no part of it is negative.

    While calls have been of nearly one size, nothing is learnt of the slope: it stays what it was. Then a queue goes in
    calls of twice or half the usual size, which show it: a batcher that sent what it thinks best would never find out
    that it is wrong.
    """

    __slots__ = ("_mean", "_n", "_nn", "_ny", "_sure", "_weight", "_y", "per_call", "per_row")

    def __init__(self) -> None:
        self._weight = self._n = self._nn = self._y = self._ny = 0.0
        self._mean = 0.0  # size
        self._sure = False  # whether the slope is seen in what is remembered
        self.per_row = 0.0  # a, ns
        self.per_call = 0.0  # b, ns

    def add(self, rows: int, ns: int) -> None:
        """A call about so many rows took so long."""
        keep = 1 - 1 / _MEMORY
        self._weight = self._weight * keep + 1
        self._n = self._n * keep + rows
        self._nn = self._nn * keep + rows * rows
        self._y = self._y * keep + ns
        self._ny = self._ny * keep + rows * ns
        mean_n, mean_y = self._n / self._weight, self._y / self._weight
        spread = self._nn - self._n * mean_n
        self._mean, self._sure = mean_n, spread >= _SPREAD * mean_n * mean_n
        if self._sure:
            self.per_row = max(0.0, (self._ny - self._n * mean_y) / spread)
        self.per_call = mean_y - self.per_row * mean_n
        if self.per_call < 0:  # the best line of those through the origin
            self.per_row, self.per_call = self._ny / self._nn, 0.0

    def pays(self) -> bool:
        """Whether a call is dear enough that rows could ever gain by going together."""
        return self.per_call > max(self.per_row, LEAST_NS)

    def together(self, waiting: int) -> int:
        """How many of the rows that wait should go in the next call.

        Of m rows sent c at a time, the k-th call ends after k·(b + a·c); over all rows the sum is
        m/2·(b + a·c)(m/c + 1). It is least at c = √(m·b/a): one row where b is small, and all of
        them where it is large. A long queue makes for larger calls, so that the model keeps up if it can at all.
        """
        if not self._sure:
            usual = max(1, round(self._mean))
            return 2 * usual if 2 * usual <= waiting else min(waiting, max(1, usual // 2))
        if self.per_row * waiting <= self.per_call:
            return waiting
        return min(waiting, max(1, round(math.sqrt(waiting * self.per_call / self.per_row))))

    def wait_ns(self, waiting: int, gap_ns: float) -> int:
        """How long rows that could be sent now should wait for others; 0: not at all.

        n rows wait, and the next comes after t. Without it they end after b + a·n, and it at 2b + a·(n+1) - t after it
        came; with it all end at t + b + a·(n+1). Waiting makes the sum less if t < (b - a·n)/(n+1), where t is the mean
        gap between arrivals. The bound falls with each row that comes, so that looking one row ahead is looking far
        enough; it holds up to n = ⌈(a+b)/(a+gap)⌉ - 1. All of that is less than b: who waits for company never waits
        longer than for a call.
        """
        if self.per_call < LEAST_NS or not gap_ns < self.per_call:
            return 0
        wanted = math.ceil((self.per_row + self.per_call) / max(self.per_row + gap_ns, 1.0)) - 1
        wait_ns = (wanted - waiting) * gap_ns
        return round(wait_ns) if wait_ns >= LEAST_NS else 0

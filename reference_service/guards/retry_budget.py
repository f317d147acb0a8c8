"""A retry budget: retries are a share of calls, so that an outage is never met with a multiple of the load."""

from __future__ import annotations


class RetryBudget:
    """A token bucket filled by calls, not by time.

    Args:
        share: of calls that may be repeated.
        burst: most tokens that can be saved up.
    """

    __slots__ = ("_burst", "_calls", "_share", "_tokens")

    def __init__(self, share: float, burst: float) -> None:
        self._share = share
        self._burst = burst
        self._tokens = burst
        self._calls = 0

    def take(self, calls: int) -> bool:
        """Whether one retry may be made after so many first attempts in all; if so it is paid for."""
        self._tokens = min(self._burst, self._tokens + self._share * (calls - self._calls))
        self._calls = calls
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

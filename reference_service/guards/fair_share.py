"""A fair share of a busy service for each caller, so that a greedy one starves nobody but itself.

A token bucket per caller, filled at the service's measured pace divided by the callers there are. Nothing is
configured, and nothing is asked of it while the service has time: who wants more may have what others leave.
"""

from __future__ import annotations

from typing import Final

_SECOND: Final = 1_000_000_000
_CROWD: Final = ""  # whom all callers share a bucket with once there are too many to tell apart


class FairShare:
    """Buckets as what was taken and not yet refilled. Shares change as callers come and go, so tokens are counted.

    Args:
        callers: told apart at most; the others share one bucket, so that inventing addresses gains nothing.
        burst: tokens that a full bucket holds.
    """

    __slots__ = ("_burst", "_callers", "_swept_ns", "_taken", "crowded")

    def __init__(self, callers: int, burst: int) -> None:
        self._callers = callers
        self._burst = burst
        self._taken: dict[str, tuple[float, int]] = {}  # caller → (tokens missing, when)
        self._swept_ns = 0
        self.crowded = 0  # requests judged in the common bucket

    def take(self, caller: str, now_ns: int, gap_ns: float) -> bool:
        """Whether `caller` may have one more of the service's turns, which come every `gap_ns`; if so it has it."""
        if now_ns - self._swept_ns >= _SECOND:
            self._sweep(now_ns)
        known = self._taken
        if caller not in known and len(known) >= self._callers:
            caller = _CROWD
            self.crowded += 1
        missing, since_ns = known.setdefault(caller, (0.0, now_ns))
        refilled = (now_ns - since_ns) / (gap_ns * len(known)) if gap_ns else missing
        missing = max(0.0, missing - refilled)
        allowed = missing + 1.0 <= self._burst
        known[caller] = (missing + allowed, now_ns)
        return allowed

    def _sweep(self, now_ns: int) -> None:
        """Forget callers that have asked for nothing for a second: they have no part in the shares."""
        self._swept_ns = now_ns
        self._taken = {caller: bucket for caller, bucket in self._taken.items() if bucket[1] + _SECOND > now_ns}

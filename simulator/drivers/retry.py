"""When a client tries again, and how long it waits: a reaction rule (S11), the same on every driver.

A pure function of what came back, of the attempt, and of a uniform that was drawn with the plan.
"""

from __future__ import annotations

from typing import Final

from simulator.history.schema import Outcome
from simulator.scenario.quantities import SECOND

RETRIED: Final = frozenset({Outcome.SHED, Outcome.TIMEOUT, Outcome.RESET})
_BACKOFF: Final = SECOND // 2


def patience_ns(timeout_ns: int, retries: int) -> int:
    """The longest that one request can take, with all its attempts."""
    return timeout_ns * (retries + 1) + sum(wait_ns(attempt, 1.0) for attempt in range(1, retries + 1))


def wait_ns(attempt: int, uniform: float) -> int:
    """Nanoseconds between the end of that attempt (the first is 1) and the next: exponential, with jitter of ± 50 %."""
    return round((_BACKOFF << (attempt - 1)) * (0.5 + uniform))

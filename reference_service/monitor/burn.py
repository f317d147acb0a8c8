"""Burn rates of error budgets, over two windows each: how soon a promise will have been broken.

A burn rate of 1 spends the budget of 30 days in 30 days. Someone is paged when both a long window (the budget is
really being spent) and a twelfth of it (it still is) burn fast: Site Reliability Workbook, chapter 5, table 5-8.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar, Final

import numpy as np

from reference_service.monitor.alerts import Condition, Severity
from reference_service.monitor.counters import Counters
from reference_service.monitor.keeping import keep, recall
from reference_service.monitor.rules import MEASURES, Objective
from reference_service.policy import HOUR, MINUTE

# (alert, severity, long window, short window, burn rate)
ALERTS: Final[tuple[tuple[str, Severity, int, int, float], ...]] = (
    ("fast_burn", "page", HOUR, 5 * MINUTE, 14.4),
    ("fast_burn", "page", 6 * HOUR, 30 * MINUTE, 6.0),
    ("slow_burn", "ticket", 72 * HOUR, 6 * HOUR, 1.0),
)
_SLOTS: Final = 72 * 60 + 1  # minutes of the longest window
_FEW: Final = 10  # bad events in the long window: fewer are no trend, whatever their share


def measured(counters: Counters) -> np.ndarray:
    """int64[3, 2]: (bad, total) since the start of the process, by `MEASURES`."""
    statuses: Counter[int] = counters.statuses
    total = sum(statuses.values())
    failed = sum(n for code, n in statuses.items() if code >= 500)  # noqa: PLR2004 - HTTP's server errors
    refused = sum(n for code, n in statuses.items() if 400 <= code < 500)  # noqa: PLR2004 - and client errors
    return np.array([[failed, total], [counters.fallbacks, counters.answers], [refused, total]], dtype=np.int64)


class BurnRates:
    """The budgets of the declared objectives.

    Args:
        objectives: of the rules file; without any, nothing is done.
        started_ns: minutes are counted from here.
    """

    KEPT: ClassVar[tuple[str, ...]] = ("_minute", "_ring", "_started_ns")

    def __init__(self, objectives: tuple[Objective, ...], started_ns: int) -> None:
        self._objectives = objectives
        self._started_ns = started_ns
        self._minute = 0
        self._ring = np.zeros((_SLOTS if objectives else 1, len(MEASURES), 2), dtype=np.int64)  # by minute
        self._seen = np.zeros((len(MEASURES), 2), dtype=np.int64)  # of the counters, which begin with the process

    def tick(self, now_ns: int, counters: Counters) -> list[Condition]:
        """Take in what was counted since the last tick; says how every budget stands."""
        if not self._objectives:
            return []
        minute = (now_ns - self._started_ns) // MINUTE
        for passed in range(self._minute + 1, min(minute, self._minute + _SLOTS) + 1):
            self._ring[passed % _SLOTS] = 0
        self._minute = minute
        found = measured(counters)
        self._ring[minute % _SLOTS] += found - self._seen
        self._seen = found
        return [condition for objective in self._objectives for condition in self._of(objective)]

    def rate(self, objective: Objective, window_ns: int) -> tuple[float, int]:
        """(burn rate, bad events) over the window that ends now."""
        minutes = min(window_ns // MINUTE, _SLOTS - 1, self._minute + 1)
        slots = np.arange(self._minute - minutes + 1, self._minute + 1) % _SLOTS
        bad, total = self._ring[slots, MEASURES.index(objective.of)].sum(axis=0).tolist()
        return (bad / total / (1 - objective.target) if total else 0.0), bad

    def keep(self) -> dict[str, Any]:
        """Three days of minutes, for a restart."""
        return keep(self) if self._objectives else {}

    def recall(self, kept: dict[str, Any]) -> None:
        """The reverse of `keep`."""
        if self._objectives and kept:
            recall(self, kept)

    def _of(self, objective: Objective) -> list[Condition]:
        states: dict[str, Condition] = {}
        for name, severity, long_ns, short_ns, limit in ALERTS:
            (slow, bad), (quick, _) = self.rate(objective, long_ns), self.rate(objective, short_ns)
            firing = min(slow, quick) >= limit and bad >= _FEW
            if name not in states or (firing and not states[name].firing):
                summary = f"{objective.of} spend the budget of {objective.target:.4g} {slow:.1f} times too fast"
                states[name] = Condition(name, objective.name, severity, firing, summary, objective.owner)
        return list(states.values())

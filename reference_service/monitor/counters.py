"""Plain counts of what was answered. Integers in lists and dicts: adding to them is all the hot path does."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import Final

# Seconds; the buckets of OpenTelemetry's http.server.request.duration.
BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_EDGES_NS: Final = [round(edge * 1e9) for edge in BUCKETS]


class Counters:
    """Totals since the start of the process."""

    __slots__ = ("answers", "arrived", "crashed", "fallbacks", "invalid", "latency", "latency_ns", "left", "missing",
                 "model", "repaired", "rows", "shed", "sources", "statuses", "unknown")  # fmt: skip

    def __init__(self) -> None:
        self.arrived = 0  # inference requests, also those refused
        self.shed = 0
        self.left = 0  # clients that were gone before their answer: their work was given up where it waited
        self.crashed = 0  # requests that met a defect of ours: a 500, and a stack in the process' own log
        self.rows = 0  # judged by the contract
        self.answers = 0  # rows with a score
        self.fallbacks = 0  # of those by the heuristic, other than by quarantine (which has its own alert)
        self.model = 0  # ordinary answers; `sources` counts the others
        self.statuses: Counter[int] = Counter()
        self.sources: Counter[str] = Counter()
        self.invalid: Counter[str] = Counter()  # field → rows with a wrong type or out of range
        self.missing: Counter[str] = Counter()  # field → rows without that key
        self.unknown: Counter[str] = Counter()  # key that the contract does not know → rows with it
        self.repaired: Counter[str] = Counter()  # field → rows that used an alias
        self.latency = [0] * (len(BUCKETS) + 1)
        self.latency_ns = 0

    def answered(self, latency_ns: int) -> None:
        """One request was answered so long after it had entered the app."""
        self.latency[bisect_left(_EDGES_NS, latency_ns)] += 1
        self.latency_ns += latency_ns

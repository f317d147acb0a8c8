"""Admission: refuse at once what could not be answered in time.

Two limits. A fixed one on requests in flight bounds memory. An estimated one bounds the queue: while requests wait
for their turn, the gap between two turns is the service's own pace, so `waiting x gap` is how long a newcomer would
wait (Little's law). Only gaps during which somebody waited count; an idle service says nothing about its pace.
"""

from __future__ import annotations

_WEIGHT = 1 / 64  # of the newest gap: the estimate follows within a hundred requests


class Limiter:
    """Counts requests from entering the app to their turn (waiting) and to their reply (in flight).

    Args:
        max_in_flight: fixed limit.
        queue_ns: the longest wait that leaves enough of the deadline.
        floor: so few waiting are always admitted.
    """

    __slots__ = ("_floor", "_gap_ns", "_last_ns", "_max", "_queue_ns", "in_flight", "waiting")

    def __init__(self, max_in_flight: int, queue_ns: int, floor: int) -> None:
        self._max = max_in_flight
        self._queue_ns = queue_ns
        self._floor = floor
        self._gap_ns = 0.0
        self._last_ns = 0
        self.in_flight = 0
        self.waiting = 0

    def admit(self) -> bool:
        """Whether to let one more request in; if so it is counted, and `turn` and `leave` must follow."""
        if self.in_flight >= self._max or (
            self.waiting >= self._floor and self.waiting * self._gap_ns > self._queue_ns
        ):
            return False
        self.in_flight += 1
        self.waiting += 1
        return True

    def turn(self, now_ns: int) -> None:
        """A waiting request got its turn."""
        self.waiting -= 1
        if self._last_ns:
            gap = now_ns - self._last_ns
            self._gap_ns += (gap - self._gap_ns) * _WEIGHT if self._gap_ns else gap
        # The next gap measures our pace only if somebody is already waiting for it.
        self._last_ns = now_ns if self.waiting else 0

    def leave(self) -> None:
        """An admitted request has been answered, or its client is gone."""
        self.in_flight -= 1

    def expected_wait_ns(self) -> int:
        """How long a newcomer would wait for its turn, as far as we know."""
        return round(self.waiting * self._gap_ns)

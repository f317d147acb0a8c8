"""Admission: refuse at once what could not be answered in time.

Two limits. A fixed one on requests in flight bounds memory. An estimated one bounds the queue: while requests wait
for their turn, the gap between two turns is the service's own pace, so `waiting x gap` is how long a newcomer would
wait (Little's law). Only gaps during which somebody waited count; an idle service says nothing about its pace.

Turns are given in the order of arrival. Who is overtaken does not wait for us but for its own client's bytes, and is
no part of the queue: a few clients that never finish sending must not look like a service that has no time.

From half the queue on, each caller is held to a fair share of the pace; from the whole queue on, everybody is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from reference_service.guards.fair_share import FairShare

_SAMPLES: Final = 32  # the estimate is the mean of so many gaps at first, then follows with a weight of one in so many
_UNKNOWN: Final = 1 << 62
_SECOND: Final = 1_000_000_000
_LINES: Final = 16  # of refused clients, by the part of a second in which they came: see `retry_after_s`


class Limiter:
    """Counts requests from entering the app to their turn (waiting) and to their reply (in flight).

    Args:
        max_in_flight: fixed limit.
        queue_ns: the longest wait that leaves enough of the deadline.
        floor: so few waiting are always admitted.
        fair: holds callers to their share of a busy service; None: first come, first served.
        retry_s: the longest that a refused client is told to stay away.
        enabled: False: count, and admit everything.
    """

    __slots__ = ("_arrived", "_away", "_busy", "_fair", "_floor", "_gap_ns", "_last_ns", "_max", "_probed_ns",
                 "_queue_ns", "_retry_s", "_samples", "_standing", "_turned", "in_flight", "unfair")  # fmt: skip

    def __init__(
        self,
        max_in_flight: int,
        queue_ns: int,
        floor: int,
        *,
        fair: FairShare | None = None,
        retry_s: int = 30,
        enabled: bool = True,
    ) -> None:
        self._max = max_in_flight if enabled else _UNKNOWN
        self._queue_ns = queue_ns if enabled else _UNKNOWN
        self._floor = floor
        self._fair = fair
        self._retry_s = retry_s
        self._gap_ns = 0.0
        self._samples = 0
        self._arrived = 0  # tickets given
        self._turned = 0  # the latest ticket that had its turn
        self._busy = False  # whether somebody waited at the last turn
        self._last_ns = 0  # of the last turn
        self._probed_ns = 0
        self._standing = 0  # tickets given by `stand` that are not yet judged
        self._away = [(0.0, 0)] * _LINES  # clients refused that have not come back yet; when that was so
        self.in_flight = 0
        self.unfair = 0  # refused because their caller had had its share

    @property
    def waiting(self) -> int:
        """How many wait for their turn, and have not been overtaken."""
        return self._arrived - self._turned

    def admit(self, client: Sequence[Any] | None = None, now_ns: int = 0) -> int:
        """A ticket for one more request, to be shown at its `turn`; `leave` must follow. Zero: refused.

        Args:
            client: (address, ...) of the caller, as ASGI has it.
            now_ns: now.
        """
        if self.in_flight >= self._max:
            return 0
        ticket = self._arrived + 1
        waiting = ticket - self._turned
        if waiting > self._floor // 2 and waiting > self._limit() // 2 and not self._room(client, now_ns):
            return 0
        self._arrived = ticket
        self.in_flight += 1
        return ticket

    def stand(self) -> int:
        """A ticket for a request whose first bytes have come: for servers that can tell before they call the app.

        Most servers call the app at a request's turn, so that all its waiting is over by then and nothing is left to
        estimate. Then `admit_waited` must follow in place of `admit` and `turn`, also for a client that has left.
        """
        self._arrived += 1
        self._standing += 1
        return self._arrived

    def admit_waited(self, ticket: int, arrived_ns: int, now_ns: int) -> bool:
        """Whether a request whose turn it is has not stood too long, since `arrived_ns`; if so `leave` must follow."""
        self._standing -= 1
        self.turn(now_ns, ticket)
        if now_ns - arrived_ns > self._queue_ns or self.in_flight >= self._max:
            self._busy = False  # until the next turn we do nothing, which says nothing about our pace
            return False
        self.in_flight += 1
        return True

    def turn(self, now_ns: int, ticket: int = 0) -> None:
        """A waiting request got its turn; without a ticket: the next in order."""
        turned = self._turned
        if not ticket:
            ticket = turned + 1
        elif ticket <= turned:
            return
        if self._busy:
            self._learn((now_ns - self._last_ns) / (ticket - turned))
        self._turned = ticket
        self._last_ns = now_ns
        # The next gap measures our pace only if somebody is already waiting for it.
        self._busy = self._arrived > ticket

    def leave(self) -> None:
        """An admitted request has been answered, or its client is gone."""
        self.in_flight -= 1
        if not self.in_flight and not self._standing:
            self._turned = self._arrived

    def expected_wait_ns(self) -> int:
        """How long a newcomer would wait for its turn, as far as we know."""
        return round(self.waiting * self._gap_ns)

    def retry_after_s(self, now_ns: int) -> int:
        """What to tell a client that has just been refused: when it would be its turn, in whole seconds.

        The refused stand in a line outside that moves at our pace. Told one constant, they would all come back at
        once and be refused once more. As only whole seconds can be told, who comes in one sixteenth of a second comes
        back in one: each sixteenth has a line of its own, so that every second brings each no more than it can take.
        """
        pace = self._gap_ns * _LINES  # ns for each in a line
        if not pace:
            return 1
        line = now_ns % _SECOND * _LINES // _SECOND
        away, since_ns = self._away[line]
        away = max(0.0, away - (now_ns - since_ns) / pace) + 1.0
        self._away[line] = (away, now_ns)
        return min(self._retry_s, 1 + int(away * pace / _SECOND))

    def _room(self, client: Sequence[Any] | None, now_ns: int) -> bool:
        """Whether a long queue can take one more."""
        if now_ns - max(self._last_ns, self._probed_ns) > self._queue_ns:
            # Nobody has had a turn for so long: either we hang, or those at the door wait for their own clients, which
            # one newcomer finds out by overtaking them.
            self._probed_ns = now_ns
            return True
        if self.waiting >= self._limit():
            return False
        if self._fair is None or client is None or self._fair.take(client[0], now_ns, self._gap_ns):
            return True
        self.unfair += 1
        return False

    def _learn(self, gap_ns: float) -> None:
        if self._samples < _SAMPLES:
            self._samples += 1
        self._gap_ns += (gap_ns - self._gap_ns) / self._samples

    def _limit(self) -> int:
        """How many may wait: the last of them just as long as leaves enough of its deadline."""
        return max(self._floor, 1 + int(self._queue_ns / self._gap_ns)) if self._gap_ns else _UNKNOWN

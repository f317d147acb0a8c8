"""Circuit breaker: stop asking a dependency that does not answer, and find out gently when it does again.

One per dependency and model version, so that a canary's failures never close the door on the champion. A call that
the caller got wrong is not the dependency's failure and is not recorded.
"""

from __future__ import annotations

import hashlib
from collections import deque
from typing import Literal

State = Literal["closed", "open", "half_open"]
_BUCKETS = 10


class Breaker:
    """Closed: calls pass and are counted. Open: none pass. Half open: a few probes decide.

    Args:
        name: seeds the jitter, so that two breakers do not probe in step and a rehearsal repeats.
        window_ns: the past that counts, in ten buckets.
        calls: fewer calls in the window never open it.
        share: of calls failed or slow that opens it.
        open_ns: how long it stays open.
        jitter: ± share of `open_ns`.
        probes: calls let through when half open; all must succeed.
    """

    __slots__ = ("_bucket_ns", "_epoch", "_failures", "_jitter", "_min_calls", "_name", "_open_ns", "_openings",
                 "_past", "_probed", "_probes", "_sent", "_share", "_until_ns", "smooth_until_ns", "state",
                 "successes")  # fmt: skip

    def __init__(
        self, name: str, *, window_ns: int, calls: int, share: float, open_ns: int, jitter: float, probes: int
    ) -> None:
        self._name = name
        self._bucket_ns = window_ns // _BUCKETS
        self._min_calls = calls
        self._share = share
        self._open_ns = open_ns
        self._jitter = jitter
        self._probes = probes
        self._past: deque[tuple[int, int, int]] = deque()  # buckets with calls in them: number, calls, failures
        self._epoch = -1  # number of the current bucket
        self._failures = 0  # of the current bucket
        self.successes = 0  # of the current bucket
        self.smooth_until_ns = 0  # until then a success may simply be added to `successes`; 0 unless closed
        self._openings = 0
        self._until_ns = 0
        self._sent = 0
        self._probed = 0
        self.state: State = "closed"

    def allow(self, now_ns: int) -> bool:
        """Whether a call may be made now. In half-open state every allowed call is a probe and must be recorded."""
        if self.state == "closed":
            if now_ns >= self.smooth_until_ns:  # before the call, so that its success may simply be added
                self._roll(now_ns // self._bucket_ns)
            return True
        if self.state == "open":
            if now_ns < self._until_ns:
                return False
            self.state, self._sent, self._probed = "half_open", 0, 0
        elif now_ns >= self._until_ns + self._open_ns and self._probed < self._probes:
            # Probes that never came back (their clients left) must not keep the door half open for ever.
            self._sent = self._probed
            self._until_ns = now_ns
        if self._sent >= self._probes:
            return False
        self._sent += 1
        return True

    def record(self, now_ns: int, *, ok: bool) -> None:
        """The outcome of an allowed call, when it is known."""
        if self.state == "half_open":
            self._probe(now_ns, ok=ok)
            return
        if self.state == "open":
            return  # a straggler from before; the probes will tell
        if now_ns >= self.smooth_until_ns:
            self._roll(now_ns // self._bucket_ns)
        if ok:
            self.successes += 1
            return
        self._failures += 1
        failures = self._failures + sum([failed for _, _, failed in self._past])
        calls = self.successes + self._failures + sum([made for _, made, _ in self._past])
        if calls >= self._min_calls and failures >= self._share * calls:
            self._open(now_ns)

    def _probe(self, now_ns: int, *, ok: bool) -> None:
        if not ok:
            self._open(now_ns)
            return
        self._probed += 1
        if self._probed >= self._probes:
            self.state = "closed"
            self._past.clear()
            self._failures = 0

    def _roll(self, epoch: int) -> None:
        """Close the current bucket, forget those that the window has left behind, and begin this one."""
        past, calls = self._past, self.successes + self._failures
        if calls:
            past.append((self._epoch, calls, self._failures))
            self.successes = self._failures = 0
        while past and past[0][0] <= epoch - _BUCKETS:
            past.popleft()
        self._epoch = epoch
        self.smooth_until_ns = (epoch + 1) * self._bucket_ns

    def _open(self, now_ns: int) -> None:
        self._openings += 1
        digest = hashlib.blake2b(f"{self._name}/{self._openings}".encode(), digest_size=8).digest()
        unit = int.from_bytes(digest, "little") / 2**64
        self._until_ns = now_ns + round(self._open_ns * (1 + self._jitter * (2 * unit - 1)))
        self.state = "open"
        self.smooth_until_ns = 0
        self.successes = 0

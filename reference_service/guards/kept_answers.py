"""Answers by idempotency key, in this process' memory: lost on restart, unknown to other processes, never too many.

When memory is full the oldest answer is given up before its time: retries come seconds after their request, so that the
youngest answers are the ones worth having. What was given up is counted, and `reaches_ns` tells how far back the
promise holds; a retry of something older is decided anew.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from reference_service.guards.idempotency import Kept

_EACH: Final = 512  # bytes of an entry beside its body: 320 measured, and room for the table to grow
_FEW: Final = 4  # expired answers dropped at one call: more than come in, and never a pause


class KeptAnswers:
    """A `Store` of this process.

    Args:
        keep_ns: how long an answer stands.
        size: bytes of all answers, at most.
    """

    __slots__ = ("_answers", "_claims", "_keep_ns", "_size", "bytes", "given_up", "reaches_ns")

    def __init__(self, keep_ns: int, size: int) -> None:
        self._keep_ns = keep_ns
        self._size = size
        self._answers: OrderedDict[bytes, Kept] = OrderedDict()  # oldest first
        self._claims: dict[bytes, Kept] = {}  # in flight: as many as the limiter lets in
        self.bytes = 0
        self.given_up = 0  # answers dropped before their time
        self.reaches_ns = 0  # the youngest of them: what came later is still known

    @property
    def entries(self) -> int:
        """Answers that are known."""
        return len(self._answers)

    async def claim(self, scope: bytes, payload: bytes, now_ns: int) -> Kept | None:
        """See `Store`."""
        self._expire(now_ns)
        found = self._answers.get(scope) or self._claims.get(scope)
        if found is not None:
            if not found.status or now_ns - found.at_ns < self._keep_ns:
                return found
            self._forget(scope)
        self._claims[scope] = Kept(payload, 0, b"", now_ns)
        return None

    async def keep(self, scope: bytes, kept: Kept) -> None:
        """See `Store`."""
        self._claims.pop(scope, None)
        if scope in self._answers:
            return
        self._answers[scope] = kept
        self.bytes += _EACH + len(kept.body)
        while self.bytes > self._size:
            oldest = self._forget(next(iter(self._answers)))
            self.given_up += 1
            self.reaches_ns = max(self.reaches_ns, oldest.at_ns)

    async def drop(self, scope: bytes) -> None:
        """See `Store`."""
        self._claims.pop(scope, None)

    def _expire(self, now_ns: int) -> None:
        for _ in range(_FEW):
            oldest = next(iter(self._answers), None)
            if oldest is None or now_ns - self._answers[oldest].at_ns < self._keep_ns:
                return
            self._forget(oldest)

    def _forget(self, scope: bytes) -> Kept:
        kept = self._answers.pop(scope)
        self.bytes -= _EACH + len(kept.body)
        return kept

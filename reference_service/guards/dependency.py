"""One call to something that may be slow, down, or wrong, behind its breaker and within the caller's time.

Fast answers stay synchronous: a value that is there at once costs no coroutine.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from reference_service.clock import Clock
from reference_service.guards.breaker import Breaker
from reference_service.guards.deadline import within
from reference_service.guards.retry_budget import RetryBudget


class Unavailable(Exception):  # noqa: N818  # an outcome that the caller answers for, not a programming error
    """No usable answer. `cause` is one of: open, error, timeout, invalid, stale."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class Dependency:
    """A guarded callable, with counters for the monitors.

    Args:
        name: as alerts call it, such as ``feature_store`` or ``model:v2``.
        call: returns a value or an awaitable of one.
        kind: exact type of an answer; such an answer needs no second look at whether it must be awaited.
        check: cause why an answer is unusable (``invalid``, ``stale``), or an empty string.
        breaker: its own.
        retries: None: never ask twice.
        slow_ns: an answer later than this counts as failed, though it is used.
    """

    __slots__ = (
        "_retries",
        "_slow_ns",
        "breaker",
        "call",
        "calls",
        "check",
        "clock",
        "kind",
        "name",
        "retried",
        "unusable",
    )

    def __init__(
        self,
        name: str,
        call: Callable[..., Any],
        *,
        kind: type,
        check: Callable[[Any, int], str],
        breaker: Breaker,
        retries: RetryBudget | None,
        slow_ns: int,
        clock: Clock,
    ) -> None:
        self.name = name
        self.call = call
        self.kind = kind
        self.check = check
        self.breaker = breaker
        self.clock = clock
        self._retries = retries
        self._slow_ns = slow_ns
        self.calls = 0  # asked for, also where the breaker refused
        self.unusable = 0  # of those, without a usable answer
        self.retried = 0

    def start(self, now_ns: int, *args: Any) -> Any:
        """Make the call. Returns the answer, or an `Unavailable`, or an awaitable to hand to `finish`."""
        self.calls += 1
        breaker = self.breaker
        if now_ns >= breaker.smooth_until_ns and not breaker.allow(now_ns):
            self.unusable += 1
            return Unavailable("open")
        try:
            answer = self.call(*args)
        except Exception:  # noqa: BLE001  # whatever a dependency raises is its failure, never ours
            return self._failed_fast(now_ns, args)
        if type(answer) is self.kind:
            if now_ns < breaker.smooth_until_ns and not self.check(answer, now_ns):
                breaker.successes += 1
                return answer
        elif isinstance(answer, Awaitable):
            return answer
        return self._judge(answer, now_ns)

    def start_all(
        self, now_ns: int, calls: Sequence[tuple[Any, ...]], together: Callable[[], Sequence[Any]] | None
    ) -> list[Any]:
        """`start` for each of several calls.

        Args:
            now_ns: now.
            calls: the arguments of each.
            together: answers all of them at once, if the dependency can. One that raises has said nothing about any
                of them: then each is asked for itself, so that a call that cannot be answered harms no other.
        """
        if together is not None and len(calls) > 1 and self.breaker.state == "closed":
            try:
                answers = together()
            except Exception:  # noqa: BLE001  # see start
                answers = ()
            if len(answers) == len(calls):
                self.calls += len(calls)
                return [self._judge(answer, now_ns) for answer in answers]
        return [self.start(now_ns, *args) for args in calls]

    async def finish(self, awaitable: Awaitable[Any], started_ns: int, until_ns: int, *args: Any) -> Any:
        """The answer of a call that `start` left pending, or an `Unavailable`; one retry if time and budget allow."""
        while True:
            try:
                answer = await within(awaitable, until_ns - self.clock.now_ns())
            except TimeoutError:
                return self._fail(self.clock.now_ns(), "timeout")
            except Exception:  # noqa: BLE001  # see start
                now_ns = self.clock.now_ns()
                if now_ns >= until_ns or not self._may_retry():
                    return self._fail(now_ns, "error")
                self.breaker.record(now_ns, ok=False)
                try:
                    answer = self.call(*args)
                except Exception:  # noqa: BLE001  # see start
                    return self._fail(now_ns, "error")
                if isinstance(answer, Awaitable):
                    awaitable = answer
                    continue
            now_ns = self.clock.now_ns()
            return self._judge(answer, now_ns, slow=now_ns - started_ns > self._slow_ns)

    def _failed_fast(self, now_ns: int, args: tuple[Any, ...]) -> Any:
        if not self._may_retry():
            return self._fail(now_ns, "error")
        self.breaker.record(now_ns, ok=False)
        try:
            answer = self.call(*args)
        except Exception:  # noqa: BLE001  # see start
            return self._fail(now_ns, "error")
        return answer if isinstance(answer, Awaitable) else self._judge(answer, now_ns)

    def _may_retry(self) -> bool:
        # An open breaker has already decided that asking again is pointless.
        if self._retries is None or self.breaker.state != "closed" or not self._retries.take(self.calls):
            return False
        self.retried += 1
        return True

    def _judge(self, answer: Any, now_ns: int, *, slow: bool = False) -> Any:
        cause = self.check(answer, now_ns)
        if cause:
            self.unusable += 1
            # A stale answer is an answer: asking less often would not make it fresher.
            self.breaker.record(now_ns, ok=cause == "stale")
            return Unavailable(cause)
        if slow:
            self.unusable += 1
        self.breaker.record(now_ns, ok=not slow)
        return answer

    def _fail(self, now_ns: int, cause: str) -> Unavailable:
        self.unusable += 1
        self.breaker.record(now_ns, ok=False)
        return Unavailable(cause)

"""From a bundle that passed the gate to one that serves: shadow, canary, promotion, or back.

The service judges and rolls back by itself; this only asks for the next step when the one before has lasted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal

from reference_service.clock import SECOND, Clock

Call = Callable[[str, str, dict[str, Any] | None], Awaitable[tuple[int, dict[str, Any]]]]
Outcome = Literal["promoted", "rolled_back", "refused"]
_ACCEPTED: Final = 300
_PROMOTED: Final = frozenset({"held_back", "settled"})  # by the service, which had seen enough of a canary
_AWAY: Final = "away"
_OPEN: Final = frozenset({"on_trial", _AWAY})
_FAILED: Final = 500
_POLL_NS: Final = 10 * SECOND
_PATIENCE_NS: Final = 600 * SECOND  # with a service that does not answer when the release is to be promoted


async def roll_out(
    call: Call,
    version: str,
    clock: Clock,
    *,
    shadow_ns: int,
    canary_ns: int,
    share: float = 0.1,
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[Outcome, str]:
    """Shadow for a while, canary for a while, then promote; (what became of it, why).

    Args:
        call: (method, path, body) of the control plane → (status, document); 500 and above where nobody answers.
        version: in the service's registry.
        clock: waits.
        shadow_ns: beside every request, answering none.
        canary_ns: answering `share` of the customers.
        share: of the canary.
        tell: told of each step before it is taken: `shadow`, `canary`.
    """
    for by, lasts_ns in (("shadow", shadow_ns), ("canary", canary_ns)):
        tell(by)
        status, reply = await call("POST", "/v1/releases", {"version": version, "by": by, "share": share})
        if status >= _ACCEPTED:
            return "refused", f"{by}: {reply.get('detail', status)}"
        number, until_ns = reply["id"], clock.now_ns() + lasts_ns
        while clock.now_ns() < until_ns:
            await clock.sleep(min(_POLL_NS, until_ns - clock.now_ns()))
            state, why = await _state(call, number, version)
            if state in _PROMOTED:
                return "promoted", why
            if state not in _OPEN:
                return "rolled_back", f"{by}: {why or state}"
    return await _promote(call, number, version, clock)


async def _promote(call: Call, number: int, version: str, clock: Clock) -> tuple[Outcome, str]:
    """The last word, as often as it takes a service that starts again to hear it."""
    until_ns = clock.now_ns() + _PATIENCE_NS
    while True:
        status, reply = await call("POST", "/v1/releases/promote", None)
        if status < _ACCEPTED:
            return "promoted", ""
        state, why = await _state(call, number, version)  # the service may have been quicker, either way
        if state in _PROMOTED:
            return "promoted", why
        away = status >= _FAILED or state == _AWAY
        if not away or clock.now_ns() >= until_ns:
            return ("refused" if state in _OPEN else "rolled_back"), f"promote: {reply.get('detail', status)}"
        await clock.sleep(_POLL_NS)


async def _state(call: Call, number: int, version: str) -> tuple[str, str]:
    """The state of the release and why; `_AWAY` of a service that does not answer, as while it starts again."""
    status, document = await call("GET", "/v1/releases", None)
    if status >= _ACCEPTED:
        return _AWAY, ""
    for each in document["releases"]:
        if (each["id"], each["version"]) == (number, version):
            return each["state"], each["reason"]
    return "forgotten", "the service knows nothing of it any more; without a registry a restart forgets"

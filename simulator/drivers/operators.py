"""What an event asks of the control plane, and what its answer means: the same for every driver."""

from __future__ import annotations

from typing import Final

import msgspec

from simulator.drivers.receipts import ServiceReceipt
from simulator.history.schema import NEVER
from simulator.scenario.model import Scenario
from simulator.scenario.quantities import MINUTE, SECOND
from simulator.scenario.verbs import Event
from simulator.targets.model import Admin

_ACCEPTED: Final = range(200, 300)
_REFUSED: Final = range(400, 500)
_UNHEARD: Final = frozenset({401, 403, 404, 405})  # nobody looked at what was asked: a token, or a path, is wrong
_FROZEN: Final = 30 * MINUTE  # unless the event's `for` says how long


def action_of(event: Event, admin: Admin) -> tuple[str | None, bytes]:
    """The action as ``METHOD /path``, None if the target file has none, and the request's body."""
    does, version = event.params.does, event.params.version
    said: dict[str, object] = {}
    if does == "freeze":
        said = {"version": version, "seconds": (event.length or _FROZEN) / SECOND}
    elif version is not None:
        said = {"to": version}
    action: str | None = getattr(admin, does)
    return action, msgspec.json.encode(said)


def delivered(event: Event, status: int, scenario: Scenario) -> bool:
    """Whether the control plane has dealt with it. Where it ought to refuse, a refusal is an answer as well.

    A release that is not authorised or not found has not been looked at.
    """
    bundle = "sound" if event.release is None else event.release.bundle
    refused = status in _REFUSED and status not in _UNHEARD
    return accepted(status) or ((bundle != "sound" or scenario.to_be_refused(event)) and refused)


def accepted(status: int) -> bool:
    """Whether the control plane does what it was asked for. 0: nobody answered."""
    return status in _ACCEPTED


def lacking(what: str) -> ServiceReceipt:
    """The receipt of what the target file gives no way to do."""
    return ServiceReceipt(NEVER, 1, 0, 0, supported=False, detail=f"the target file has no {what}")


def answered(event: Event, status: int, scenario: Scenario, now_ns: int) -> ServiceReceipt:
    """The receipt of what the control plane was asked for and answered at this moment."""
    done = delivered(event, status, scenario)
    return ServiceReceipt(now_ns if done else NEVER, 1, int(done), int(done), detail=f"status {status}")

"""What really became of each event, read off the finished run (S1, S7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from simulator.history.schema import NEVER, EventRecord, History, Outcome
from simulator.scenario.disturbances import Network
from simulator.scenario.model import Scenario
from simulator.scenario.quantities import SECOND
from simulator.scenario.verbs import ONLY_ON, Event

_EARLY: Final = SECOND // 1000  # a delay of a body in pieces is cut from its last piece


@dataclass(frozen=True, slots=True)
class ServiceReceipt:
    """What the harness did to the service for one event of the service layer, as counts of calls or actions."""

    at_ns: int  # when it was done, NEVER if it never was
    planned: int
    delivered: int
    potent: int
    supported: bool = True
    detail: str = ""


def realise(
    scenario: Scenario,
    history: History,
    service: Mapping[str, ServiceReceipt],
    end_ns: int,
    twice: Mapping[int, tuple[int, int]],
) -> tuple[EventRecord, ...]:
    """One record per event, in the scenario's order; `twice`: second deliveries of labels, due and acknowledged."""
    return tuple(
        _served(event, k, history, service[event.event], end_ns, wrong=scenario.to_be_refused(event))
        if event.event in service
        else _again(_items(event, k, history, end_ns), *twice[k])
        if k in twice
        else _items(event, k, history, end_ns)
        for k, event in enumerate(scenario.when)
    )


def unsupported(scenario: Scenario, driver: str) -> dict[str, ServiceReceipt]:
    """What this driver cannot do: never skipped, always told."""
    detail = f"the {driver} driver cannot do it; virtual time can"
    none = ServiceReceipt(NEVER, 1, 0, 0, supported=False, detail=detail)
    return {event.event: none for event in scenario.when if driver not in ONLY_ON.get(event.verb, (driver,))}


def _declared_end(event: Event, end_ns: int) -> int:
    return end_ns if event.length is None else min(end_ns, event.at + event.length)


def _mask(history: History, k: int, column: str = "touched") -> np.ndarray:
    return np.asarray((history.items[column] >> np.uint64(k)) & np.uint64(1) == 1)


def _items(event: Event, k: int, history: History, end_ns: int) -> EventRecord:
    # World, representation and transport: every touched item is a delivery of its own.
    items = history.items
    touched = _mask(history, k)
    if event.verb in {"label_delay", "label_loss", "label_noise"}:
        delivered = touched  # a label that does not come cannot be acknowledged: the plan is the receipt
    else:
        delivered = touched & (items["outcome"] != int(Outcome.MISSING)) & (items["sent_ns"] != NEVER)
    potent = delivered & _mask(history, k, "potent")
    if event.network is not None:
        potent &= _spoiled(event.network, history)
    # A window goes by scheduled arrivals (S1), and the event starts with its first item's: else that one would lie
    # outside. Over sockets it leaves a little later, by the driver's lag, which is a premise of its own.
    at = items["scheduled_ns"]
    sent = at[delivered & (items["sent_ns"] != NEVER)]
    start = int(sent.min()) if len(sent) else NEVER
    # On schedule means: with the first item that the plan touches. A ramp from nothing touches its first one later
    # than `at`, which is no delay of the driver's.
    scheduled = int(at[touched].min()) if touched.any() else event.at
    return EventRecord(
        event.event, k, scheduled, start, _declared_end(event, end_ns),
        int(touched.sum()), int(delivered.sum()), int(potent.sum()),
    )  # fmt: skip


def _spoiled(network: Network, history: History) -> np.ndarray:
    """bool[n]: what became of the request shows that its way was bad (S7); a second attempt shows it as well."""
    items = history.items
    by, took = network.by or 0, items["replied_ns"] - items["sent_ns"]
    slow = (items["replied_ns"] != NEVER) & (took >= by - min(_EARLY, by // 10))
    ended = {
        "loss": Outcome.TIMEOUT, "half_open": Outcome.TIMEOUT, "reset": Outcome.RESET, "partition": Outcome.RESET,
    }  # fmt: skip
    seen = items["outcome"] == ended[network.fault] if network.fault in ended else slow
    return np.asarray(seen | (items["outcome"] == Outcome.TIMEOUT) | (items["attempts"] > 1))


def _stood_still(history: History, start_ns: int, end_ns: int) -> int:
    """1 if requests came in that time, and none of them was answered well before it was over: so it is seen (S7)."""
    items = history.items
    came = (items["sent_ns"] >= start_ns) & (items["sent_ns"] < end_ns)
    answered = came & (items["outcome"] == int(Outcome.OK)) & (items["replied_ns"] < end_ns)
    return int(came.any() and not answered.any())


def _again(first: EventRecord, due: int, came: int) -> EventRecord:
    # One that was never due has not been shown to come.
    return replace(first, planned=max(1, due), delivered=came, potent=came)


def _served(
    event: Event, k: int, history: History, receipt: ServiceReceipt, end_ns: int, *, wrong: bool
) -> EventRecord:
    """`wrong`: it ought to be refused."""
    items = history.items
    if event.release is not None and event.release.by != "shadow":
        # Ends with the last request admitted to that version.
        wrong = wrong or event.release.bundle != "sound"
        admitted = items["scheduled_ns"][items["version"] == event.release.version]
        if wrong:  # it may have served before
            admitted = admitted[admitted >= event.at]
        end = int(max(admitted)) + 1 if len(admitted) else receipt.at_ns
        refused = wrong and not len(admitted)
        potent = receipt.potent if refused else int(len(admitted) > 0 and receipt.potent > 0)
    else:  # also a shadow, which answers nobody: whether it was asked is what the harness saw at its seam
        end, potent = _declared_end(event, end_ns), receipt.potent
        if event.pause is not None and history.header.driver == "virtual":
            potent *= _stood_still(history, receipt.at_ns, end)
    # Who waits for evidence starts when it has come, and is not late.
    waits = event.retrain is not None and event.retrain.on == "evidence"
    return EventRecord(
        event.event, k, max(event.at, receipt.at_ns) if waits else event.at, receipt.at_ns, end,
        receipt.planned, receipt.delivered, potent, receipt.supported, receipt.detail,
    )  # fmt: skip

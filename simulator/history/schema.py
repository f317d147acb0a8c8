"""What happened: the columns of a history. Everything right of the drivers reads this and nothing else.

Three clocks on every item: when it happened (`event_ns`), when the service saw it (`seen_ns`), when its
label arrived (`label_ns`). All times are integer nanoseconds from the start of the run; -1 means never.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

import numpy as np
import pyarrow as pa

SCHEMA_VERSION: Final = 2
NEVER: Final = -1


class Outcome(IntEnum):
    """How one request ended, after the target's error map."""

    OK = 0
    REJECT = 1  # a clear client error
    SHED = 2  # refused for load
    ERROR = 3  # 5xx, or any answer that the map does not explain
    TIMEOUT = 4
    RESET = 5
    UNPARSEABLE = 6
    MISSING = 7  # scheduled, never sent or never concluded
    WITHHELD = 8  # would not have been sent after what the service decided; never in a history that was read


class Source(IntEnum):
    """Where the service says that a row's answer came from."""

    NONE = 0  # no answer, or the service does not say
    MODEL = 1
    CACHE = 2
    DEFAULT = 3
    FALLBACK = 4
    REJECTED = 5  # this row of a batch was refused, the others were answered


# One record per row of a request ("item"); a request of one row is one item. `touched` has bit k set where
# event k of the scenario touched the item. A score that is absent or not finite is NaN.
ITEM_COLUMNS: Final[dict[str, pa.DataType]] = {
    "stream": pa.string(),  # with `index` and `copy`: the key on which runs are compared
    "index": pa.int64(),
    "copy": pa.int16(),  # 0, or n for the n-th duplicate delivery
    "request": pa.int64(),  # ordinal of the request that carried the row
    "row": pa.int16(),  # position within that request
    "entity": pa.int64(),
    "segment": pa.string(),
    "event_ns": pa.int64(),
    "scheduled_ns": pa.int64(),
    "sent_ns": pa.int64(),
    "seen_ns": pa.int64(),
    "replied_ns": pa.int64(),
    "attempts": pa.int8(),
    "status": pa.int16(),
    "outcome": pa.int8(),
    "score": pa.float64(),
    "decision": pa.string(),
    "source": pa.int8(),
    "version": pa.string(),
    "reasons": pa.string(),  # comma-separated, as the service gave them
    "touched": pa.uint64(),
    "potent": pa.uint64(),  # bit k: event k really changed what was sent
    "sent_digest": pa.uint64(),  # CRC-32 of the request body, its length in the upper half
    "leak": pa.int8(),  # of a reply that is an error: 0, 1 it shows values that it was sent, 2 internals, 3 nothing
    "truth": pa.int8(),  # latent label, -1 if there is none
    "label_due_ns": pa.int64(),  # when the label would naturally arrive
    "label_ns": pa.int64(),  # when it was delivered and acknowledged
}
ITEM_SCHEMA: Final = pa.schema(list(ITEM_COLUMNS.items()))


@dataclass(frozen=True, slots=True)
class AlertRecord:
    """One alert notification as the harness received it."""

    at_ns: int
    route: str  # alertmanager | slack | pagerduty | poll
    fingerprint: str
    name: str
    field: str
    severity: str
    firing: bool  # False: resolved


@dataclass(frozen=True, slots=True)
class EventRecord:
    """What became of one event of the scenario.

    `start_ns` is the scheduled arrival of its first delivered item (a release: the accepted action).
    """

    name: str
    index: int  # bit in `touched`
    scheduled_ns: int
    start_ns: int  # NEVER if nothing was touched or the action was refused
    end_ns: int
    planned: int  # items (or actions, or dependency calls) that it was to touch
    delivered: int
    potent: int  # of those, really changed
    supported: bool = True  # False: the harness cannot reach what the event wants to break
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """Anything else with a time; the kinds stand at the end of this file."""

    at_ns: int
    kind: str
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Header:
    """What ran. `digest` covers the logical rows of everything else and is filled in when the history is closed."""

    scenario: str  # title
    path: str
    cell: dict[str, Any]
    role: str  # main | twin | aa | off-validation | …
    driver: str  # virtual | live | locust
    seed: int
    plan_digest: str
    target: str
    target_digest: str
    end_ns: int  # last scheduled instant of the plan, exclusive
    warmup_ns: int
    schema_version: int = SCHEMA_VERSION
    versions: dict[str, str] = field(default_factory=dict)  # seatrial, python, numpy: informative, not digested
    digest: str = ""


@dataclass(frozen=True, slots=True)
class History:
    """One run, in memory.

    `items` maps each name of ITEM_COLUMNS to an array of equal length, ordered by (scheduled_ns, request, row).
    Strings are numpy object arrays.
    """

    header: Header
    items: dict[str, np.ndarray]
    alerts: tuple[AlertRecord, ...]
    events: tuple[EventRecord, ...]
    notes: tuple[Note, ...]
    log: tuple[bytes, ...] | None = None  # lines of the service's decision log, byte for byte; None: nobody asked

    def __len__(self) -> int:
        return len(self.items["index"])

    def event(self, name: str) -> EventRecord:
        """The record of that event; KeyError if the run knows none."""
        for event in self.events:
            if event.name == name:
                return event
        raise KeyError(name)


# Kinds of notes that checks read, and what stands in `data`:
#   heartbeat     {"route": str, "every_ns": int}         the target's watchdog alert came through the alert path
#   unread        {"route": str, "why": str}              a notification came that is no alert of a route that is listed
#   steady_state  {"holds": bool, "why": str}
#   heal          {"healed": bool, "why": str}
#   driver        {"late_p99_ns": int, "late_max_ns": int, "attempts": int}  attempts: of clients, where counted
#   harness       {"fault": str}                          a guard rail fired: exit 4
#   action        {"what": str, "status": int, "body": str}
#   ready         {"ready": bool}                         the readiness endpoint, at every change and every minute
#   quality       {"as_of_ns": int, "matured_before_ns": int, "n": int, "positive_rate": float, "brier": float}
#   capacity      {"per_second": float}
#   counted       {"event": str, "units": int}            of a fault that somebody stands in between for: how many calls
#                 (real time: pieces of data, refused commands, or bytes) were seen to be struck
#   calls         {name: int}                             so far: of each seam, and attempts of clients (`service`)
#   feedback      {"left": int, "withheld": int, "again": int}  how people reacted to decisions
#   log           {"why": str}                            how reading the decision log failed; empty: all of it is there
#   cpu           {"used_ns": int, "session": int}        by the service so far (that session of it); if asked
#   retraining    {"version": str, "step": str, "said_ns": int, "why": str, "last_ns": int, "asked": int}
#                 a step that the journal tells of, when it says that it was taken, when it was read before, and how
#                 often the version had been asked at the seam `model` by then, -1 where there is none
#   queue         {"why": str}                            the queue of reviews was read to its end; or how that failed
#   review        {"id": str, "row": int, "verdict": str, "taken": bool}  a person was shown that row, and what was said
#   metrics       {"requests": {code: int}, "versions": [str], "series": int, "why": str}  when all is over
#   serving       {"version": str}                        which version serves, by the endpoint that says so; the same
#   stands        {"id": str, "row": int, "decision": str}  what the service says of it when the run is over
#   monitor       {"psi": {field: value}}                 what the service's own monitors said
NOTE_KINDS: Final = (
    "heartbeat", "steady_state", "heal", "driver", "harness", "action", "quality", "capacity", "monitor", "ready",
    "feedback", "calls", "log", "retraining", "cpu", "queue", "review", "stands",
    "metrics", "serving", "counted", "unread",
)  # fmt: skip

"""Small synthetic histories: a sound run by default, in which each test breaks one thing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from simulator.checks import Evidence, evaluate
from simulator.history.schema import (
    ITEM_COLUMNS,
    NEVER,
    AlertRecord,
    EventRecord,
    Header,
    History,
    Note,
    Outcome,
    Source,
)
from simulator.scenario.model import Expectation, Scenario
from simulator.scenario.quantities import MINUTE, SECOND
from simulator.verdict import Finding

N = 1800  # one request a second for half an hour
END = N * SECOND
AT, UNTIL = 600, 1200  # the event, in seconds
OBJECTS = ("stream", "segment", "decision", "version", "reasons")


def columns(n: int = N, *, every: int = SECOND, rows: int = 1, **changed: Any) -> dict[str, np.ndarray]:
    """n items answered well by the model, `rows` of them a request; `changed` are columns, or one value for all."""
    index = np.arange(n, dtype=np.int64)
    request = index // rows
    scheduled = request * rows * every
    plain: dict[str, Any] = {
        "stream": "main", "index": index, "copy": 0, "request": request, "row": index % rows, "entity": index,
        "segment": "", "event_ns": scheduled, "scheduled_ns": scheduled, "sent_ns": scheduled,
        "seen_ns": scheduled + 1_000_000, "replied_ns": scheduled + 2_000_000, "attempts": 1, "status": 200,
        "outcome": int(Outcome.OK), "score": np.round((index * 7919 % 1000) / 1000, 6), "decision": "approve",
        "source": int(Source.MODEL), "version": "v1", "reasons": "", "touched": 0, "potent": 0,
        "sent_digest": 1 + np.asarray(changed.get("potent", 0), np.uint64),  # what was changed is sent otherwise
        "leak": 0,
        "truth": index % 2, "label_due_ns": scheduled + 60 * MINUTE, "label_ns": NEVER,
    }  # fmt: skip
    made = {}
    for name, kind in ITEM_COLUMNS.items():
        value = changed.get(name, plain[name])
        dtype = object if name in OBJECTS else kind.to_pandas_dtype()
        made[name] = np.array(np.broadcast_to(np.asarray(value, dtype), n), dtype)
    return made


def notes(end: int = END) -> tuple[Note, ...]:
    """All that a sound run has on record."""
    beats = [Note(at, "heartbeat", {"route": "alertmanager"}) for at in range(0, end, MINUTE)]
    return (
        Note(0, "driver", {"late_p99_ns": 0, "late_max_ns": 0}),
        Note(300 * SECOND, "steady_state", {"holds": True, "why": ""}),
        *beats,
        Note(end, "counted", {"event": "e", "units": 600}),  # should somebody stand in between for it
        Note(end, "heal", {"healed": True, "why": ""}),
    )


def run(items: dict[str, np.ndarray] | None = None, **parts: Any) -> History:
    """One run; the twin unless it is given events."""
    items = columns() if items is None else items
    end = parts.pop("end_ns", END)
    header = Header(
        scenario="test", path="test.scenario.yaml", cell={}, role=parts.pop("role", "main"),
        driver=parts.pop("driver", "virtual"), seed=1, plan_digest="p", target="t", target_digest="t", end_ns=end,
        warmup_ns=600 * SECOND, digest="d",
    )  # fmt: skip
    made = {"alerts": (), "events": (), "notes": notes(end)} | parts
    return History(header, items, made["alerts"], made["events"], made["notes"])


def record(name: str = "e", *, at: int = AT, until: int = UNTIL, index: int = 0, **changed: Any) -> EventRecord:
    """A receipt in full."""
    made = EventRecord(name, index, at * SECOND, at * SECOND, until * SECOND, 600, 600, 600)
    return replace(made, **changed)


def touched(at: int = AT, until: int = UNTIL, n: int = N, index: int = 0) -> np.ndarray:
    """Bits of an event that touched everything while it lasted."""
    second = np.arange(n)
    return np.where((second >= at) & (second < until), np.uint64(1 << index), np.uint64(0))


def firing(at: float, *, name: str = "feature_drift", field: str = "amount", **changed: Any) -> AlertRecord:
    """A page on the amount, `at` seconds into the run."""
    made = AlertRecord(int(at * SECOND), "alertmanager", f"{name}/{field}", name, field, "page", firing=True)
    return replace(made, **changed)


def ending(at: float, **changed: Any) -> AlertRecord:
    """Its resolution."""
    return replace(firing(at, **changed), firing=False)


def scenario(*then: dict[str, Any], when: list[dict[str, Any]] | None = None, **given: Any) -> Scenario:
    """A scenario with one event `e` of ten minutes that scales the amount, unless said otherwise."""
    if when is None:
        when = [{"event": "e", "at": "10m", "for": "10m", "scale": {"field": "amount", "by": 100}}]
    base = {"population": "payments", "serving": "v1", "traffic": {"rate": "1/s", "for": "30m"}, "warmup": "10m"}
    base |= {"steady_state": [{"no_alert": "any"}]} | given
    return Scenario.model_validate(
        {"seatrial": 1, "title": "test", "seed": 1, "given": base, "when": when, "then": list(then)}
    )


def evidence(main: History | None = None, **changed: Any) -> Evidence:
    """A main run in which `e` touched everything while it lasted, and two clean runs beside it."""
    main = run(columns(touched=touched(), potent=touched()), events=(record(),)) if main is None else main
    return Evidence(**{"main": main, "twin": run(role="twin"), "aa": run(role="aa")} | changed)


def edited(found: Evidence, **items: Any) -> Evidence:
    """The same evidence with other columns in the main run."""
    main = replace(found.main, items={**found.main.items, **items})
    return replace(found, main=main)


def judged(expectation: dict[str, Any], found: Evidence, *others: dict[str, Any], **world: Any) -> Finding:
    """The finding of one expectation, `id: it` unless it says so."""

    whole = scenario({"id": "it"} | expectation, *others, **world)
    return evaluate(whole.then[0], whole, found)


def expectation(**parts: Any) -> Expectation:
    """One expectation."""
    return Expectation.model_validate({"id": "it"} | parts)

"""A day at a made-up service: enough of everything that a report can show."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from simulator.history.schema import ITEM_COLUMNS, AlertRecord, EventRecord, Header, History, Note, Outcome, Source
from simulator.scenario.quantities import HOUR, MINUTE, SECOND
from simulator.verdict import CellVerdict, Control, Finding, Judged, Status, Verdict

RED = Control("T", "dropped alert", Status.FAIL, Status.FAIL)
GREEN = Control("T", "onset just inside", Status.PASS, Status.PASS)
CLEAN = Control("W", "twin", Status.FAIL, Status.FAIL)
OFF = Control("S", "without alerts", Status.FAIL, Status.FAIL)


def judged(name: str, finding: Finding, **changed) -> Judged:
    given = {
        "id": name, "family": "alert", "gating": True, "finding": finding, "controls": (RED, GREEN, CLEAN, OFF),
        "required": ("T", "W", "S"), "line": 33, "text": f"the text of {name}",
    }  # fmt: skip
    return Judged(**(given | changed))


PAGED = judged(
    "paged",
    Finding(
        Status.PASS, "within 8m after unit_change", "onset after 4m10s", n=1, margin=0.479,
        window_ns=(30 * MINUTE, 38 * MINUTE),
    ),
    text="an alert on amount fires within 8m after unit_change",
)  # fmt: skip
EARLY = judged(
    "early",
    Finding(
        Status.PASS, "≤ 1%", "0%", n=2514, interval=(0.0, 0.00183), margin=0.82,
        window_ns=(30 * MINUTE, 34 * MINUTE),
    ),
    family="labels_seen",
    required=("T",),
    controls=(RED, GREEN),
    text="at most 1% of the labels of unit_change have arrived when paged fires",
    line=34,
)  # fmt: skip
CONTAINED = judged(
    "contained",
    Finding(
        Status.FAIL, "≥ 99%", "91.4%", "1,031 of 12,004 touched items were answered as if nothing had happened",
        n=12004, interval=(0.9081, 0.9199), margin=-0.077, window_ns=(40 * MINUTE, 60 * MINUTE),
        witnesses=("main/24113 at 40m02s: silent, score 0.31, twin 0.07", "main/24120 at 40m02s: silent, score 0.44"),
    ),
    family="handled",
    text="at least 99% of the items touched by unit_change are rejected, declared or repaired",
    line=35,
)  # fmt: skip
CLEARED = judged(
    "cleared",
    Finding(
        Status.UNKNOWN, "within 20m after unit_change.end", "not observed",
        "no heartbeat came through the alert path between 1h02m and 1h19m", "check the route that alerts take",
        window_ns=(60 * MINUTE, 80 * MINUTE),
    ),
    family="resolved",
    text="paged is resolved within 20m after unit_change ends",
    line=36,
)  # fmt: skip
QUICK = judged(
    "quick",
    Finding(
        Status.FAIL, "p95 ≤ 250ms", "261ms", n=54000, interval=(0.0520, 0.0571), margin=-0.044,
        window_ns=(0, 90 * MINUTE),
    ),
    family="latency",
    gating=False,
    required=("T",),
    controls=(RED,),
    text="95% of all replies come within 250ms",
    line=39,
)  # fmt: skip


def cell(name: str = "unit_change", *parts: Judged, **changed) -> CellVerdict:
    given = {
        "scenario": name, "title": "Cents become euros; amount is distrusted before labels return",
        "path": f"scenarios/{name}.scenario.yaml", "cell": {"factor": 100}, "seed": 20260517,
        "target": "scenarios/targets/reference.target.yaml",
        "judged": parts or (PAGED, EARLY, CONTAINED, CLEARED, QUICK),
        "evidence": {"main": "9f3c" * 16, "twin": "77aa" * 16, "off-alerts": "0b1d" * 16}, "plan_digest": "c0ffee" * 10,
        "run_id": "7f3a2c91d0e4",
    }  # fmt: skip
    return CellVerdict(**(given | changed))


def history(*, seed: int = 7, noisy: bool = False, minutes: int = 90, rate: int = 10) -> History:
    """90 minutes at 10/s with a unit change from 30m to 60m, a canary from 65m on and a spike at 75m."""
    rng = np.random.default_rng(seed)
    end = minutes * MINUTE
    at = np.sort(rng.integers(0, end, minutes * 60 * rate))
    spike = np.sort(rng.integers(75 * MINUTE, 80 * MINUTE, 5 * 60 * rate * 2)) if minutes > 80 else at[:0]
    at = np.sort(np.concatenate([at, spike]))
    n = len(at)
    items = {
        name: np.full(n, "", object) if str(kind) == "string" else np.zeros(n, kind.to_pandas_dtype())
        for name, kind in ITEM_COLUMNS.items()
    }
    touched = (at >= 30 * MINUTE) & (at < 60 * MINUTE)
    source = np.where(rng.random(n) < 0.2, int(Source.CACHE), int(Source.MODEL))
    quarantined = touched & (at > 34 * MINUTE) & (rng.random(n) < 0.914)
    source = np.where(quarantined, np.where(rng.random(n) < 0.7, int(Source.DEFAULT), int(Source.FALLBACK)), source)
    shed = (at >= 75 * MINUTE) & (at < 80 * MINUTE) & (rng.random(n) < 0.22)
    failed = rng.random(n) < np.where((at > 65 * MINUTE) & (at < 68 * MINUTE), 0.05, 0.0002)
    if noisy:
        source, shed, failed = rng.integers(0, 6, n), rng.random(n) < 0.3, rng.random(n) < 0.3
    outcome = np.where(shed, int(Outcome.SHED), np.where(failed, int(Outcome.ERROR), int(Outcome.OK)))
    source = np.where(outcome == int(Outcome.OK), source, int(Source.NONE))
    canary = (at > 65 * MINUTE) & (at < 69 * MINUTE) & (rng.random(n) < 0.1)
    version = np.where(canary, "v2", "v1").astype(object)
    version[source == int(Source.NONE)] = ""
    due = at + rng.integers(10 * MINUTE, 3 * HOUR, n)
    items |= {
        "stream": np.full(n, "main", object), "index": np.arange(n), "request": np.arange(n), "scheduled_ns": at,
        "outcome": outcome.astype(np.int8), "source": source.astype(np.int8), "version": version,
        "touched": touched.astype(np.uint64), "label_due_ns": due, "label_ns": np.where(due < end, due, -1),
    }  # fmt: skip
    alerts = (
        _alert(34 * MINUTE + 10 * SECOND, "feature_drift", "amount", firing=True),
        _alert(34 * MINUTE + 11 * SECOND, "feature_drift", "amount", firing=True, route="slack"),
        _alert(71 * MINUTE, "feature_drift", "amount", firing=False),
        _alert(67 * MINUTE + 20 * SECOND, "canary_rollback", "v2", firing=True),
        _alert(76 * MINUTE, "load_shedding", "", firing=True, severity="ticket"),
        _alert(81 * MINUTE, "load_shedding", "", firing=False, severity="ticket"),
    )
    events = (
        EventRecord("unit_change", 0, 30 * MINUTE, 30 * MINUTE, 60 * MINUTE, 18000, 17994, 17994),
        EventRecord("bad_deploy", 1, 65 * MINUTE, 65 * MINUTE, 69 * MINUTE, 1, 1, 1),
        EventRecord("spike", 2, 75 * MINUTE, 75 * MINUTE, 80 * MINUTE, 6000, 6000, 6000),
    )
    notes = tuple(Note(t * MINUTE, "monitor", {"psi": _psi(t, rng)}) for t in range(1, minutes, 1))
    header = Header(
        "Cents become euros", "scenarios/unit_change.scenario.yaml", {"factor": 100}, "main", "virtual", 20260517,
        "c0ffee" * 10, "scenarios/targets/reference.target.yaml", "abc", end, 20 * MINUTE,
        versions={"python": "3.11.9", "seatrial": "0.1.0"}, digest="9f3c" * 16,
    )  # fmt: skip
    return History(header, items, alerts, events, notes)


def _psi(minute: int, rng) -> dict[str, float]:
    names = ("amount", "hour", "country", "payment_method", "device", "basket_size")
    psi = {name: float(rng.gamma(2.0, 0.006)) for name in names}
    psi["amount"] += 4.2 * (1 - np.exp(-(minute - 30) / 3)) if 30 <= minute < 60 else 0.0
    psi["amount"] += 4.2 * np.exp(-(minute - 60) / 2.5) if minute >= 60 else 0.0
    psi["country"] += 0.16 if 74 < minute < 82 else 0.0
    return psi


def _alert(at_ns: int, name: str, field: str, *, firing: bool, route="alertmanager", severity="page") -> AlertRecord:
    return AlertRecord(at_ns, route, f"{name}/{field}", name, field, severity, firing)


def whole() -> Verdict:
    """Refused: one cell fails, one is green, one is unknown."""
    rollback = judged("rolled_back", Finding(Status.PASS, "v1 within 5m", "after 2m20s", n=1, margin=0.53), line=22)
    unseen = judged("lossless", Finding(Status.PASS, "≤ 0.1%", "0%", n=9000, interval=(0.0, 0.0005)), controls=(RED,))
    return Verdict(
        (
            cell(),
            cell("bad_deploy", rollback, cell={}, title="A slow release goes back by itself", run_id="aa11bb22cc33"),
            cell("spike", unseen, cell={}, title="Three times the load, nothing lost", run_id="dd44ee55ff66"),
        )
    )


@pytest.fixture
def verdict() -> Verdict:
    return whole()


@pytest.fixture(scope="session")
def run() -> History:
    return history()


@pytest.fixture
def make_cell() -> Callable[..., CellVerdict]:
    return cell


@pytest.fixture
def make_judged() -> Callable[..., Judged]:
    return judged


@pytest.fixture
def make_history() -> Callable[..., History]:
    return history

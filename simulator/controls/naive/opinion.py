"""One expectation, judged naively."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from simulator.controls.naive import (
    alerts,
    arms,
    groups,
    lasting,
    loading,
    logs,
    metering,
    releasing,
    retraining,
    reviewing,
    shares,
    values,
)
from simulator.controls.naive.court import Court, Doubt, Opinion
from simulator.controls.naive.premises import served
from simulator.scenario.model import Expectation, Scenario
from simulator.verdict import Status

FAMILIES: Final[dict[str, Callable[[Expectation, Scenario, Court], Opinion]]] = {
    "alert": alerts.alert,
    "resolved": alerts.resolved,
    "no_alert": alerts.no_alert,
    "handled": shares.handled,
    "harmed": shares.harmed,
    "error_rate": shares.error_rate,
    "latency": shares.latency,
    "labels_seen": alerts.labels_seen,
    "fallback": shares.fallback,
    "shed": shares.shed,
    "answered": shares.answered,
    "recovers": lasting.recovers,
    "rollback": lasting.rollback,
    "exposure": shares.exposure,
    "parity": values.parity,
    "quality": values.quality,
    "clean_reject": shares.clean_reject,
    "idempotent": values.idempotent,
    "readiness": lasting.readiness,
    "amplification": loading.amplification,
    "refuses": lasting.refuses,
    "retrain": retraining.retrain,
    "promoted": releasing.promoted,
    "shadow": releasing.shadow,
    "lossless": releasing.lossless,
    "review": groups.review,
    "metered": metering.metered,
    "reviewed": reviewing.reviewed,
    "shown": reviewing.shown,
    "cost": loading.cost,
    "fairness": groups.fairness,
    "group_errors": groups.group_errors,
    "better": arms.better,
    "logged": logs.logged,
}


OF_VERSIONS: Final = {"rollback", "exposure", "promoted", "shadow", "lossless", "refuses", "retrain", "better"}


def opinion(expectation: Expectation, scenario: Scenario, court: Court) -> Opinion:
    """Judge one expectation; Doubt of any kind is UNKNOWN. Other exceptions are defects and come through."""
    try:
        if expectation.family in OF_VERSIONS or (expectation.parity and expectation.parity.serving):
            served(court.main, scenario)
        return FAMILIES[expectation.family](expectation, scenario, court)
    except Doubt:
        return Opinion(Status.UNKNOWN)

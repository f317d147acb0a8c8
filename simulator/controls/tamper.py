"""Grade T: tampered evidence (S10). The smallest edit that violates, its neighbour that does not, a premise removed.

The sizes of the edits come from the naive judge, which knows nothing of the checks that are to see them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from simulator.checks.baseline import depends
from simulator.controls import (
    edits,
    tamper_alerts,
    tamper_arms,
    tamper_groups,
    tamper_lasting,
    tamper_loading,
    tamper_log,
    tamper_metering,
    tamper_releases,
    tamper_retraining,
    tamper_reviewing,
    tamper_shares,
    tamper_values,
)
from simulator.controls.case import Case, Edit, Tampering
from simulator.controls.naive import needed
from simulator.verdict import Status

FAMILIES: Final[dict[str, Callable[[Case], Iterator[Tampering]]]] = {
    **dict.fromkeys(tamper_shares.FAMILIES, tamper_shares.share),
    "labels_seen": tamper_shares.labels_seen,
    "alert": tamper_alerts.alert,
    "resolved": tamper_alerts.resolved,
    "no_alert": tamper_alerts.no_alert,
    "recovers": tamper_lasting.recovers,
    "rollback": tamper_lasting.rollback,
    "parity": tamper_values.parity,
    "quality": tamper_values.quality,
    "idempotent": tamper_values.idempotent,
    "readiness": tamper_lasting.readiness,
    "amplification": tamper_loading.amplification,
    "refuses": tamper_lasting.refuses,
    "shadow": tamper_releases.shadow,
    "lossless": tamper_releases.lossless,
    "logged": tamper_log.logged,
    "cost": tamper_loading.cost,
    "group_errors": tamper_groups.group_errors,
    "better": tamper_arms.better,
    "retrain": tamper_retraining.retrain,
    "metered": tamper_metering.metered,
    "reviewed": tamper_reviewing.reviewed,
    "shown": tamper_reviewing.shown,
}
HEARD: Final = frozenset({"alert", "resolved", "no_alert", "labels_seen"})
TWINNED: Final = frozenset(
    {"alert", "no_alert", "labels_seen", "handled", "harmed", "parity", "shadow", "lossless", "amplification"}
)
COMPARED: Final = frozenset({"handled", "harmed", "parity", "shadow"})


def tamperings(case: Case) -> Iterator[Tampering]:
    """Name, wanted status and edit of every T control of one expectation."""
    yield from FAMILIES[case.expectation.family](case)
    yield from _premises(case)


def _happened(case: Case) -> Iterator[tuple[str, Edit]]:
    evidence, events = case.evidence, needed(case.expectation, case.scenario)
    if events:
        yield f"receipt of {events[0]}", lambda: edits.without_receipt(evidence, events[0])
    if any(case.scenario.event(name).counted for name in events):
        yield "count of what was struck", lambda: edits.without_notes(evidence, "counted")


def _premises(case: Case) -> Iterator[Tampering]:
    family, evidence = case.expectation.family, case.evidence

    def gone(what: str, edit: Edit) -> Tampering:
        return f"premise: no {what}", Status.UNKNOWN, edit

    for what, edit in _happened(case):
        yield gone(what, edit)
    yield gone("record of the driver's lag", lambda: edits.without_notes(evidence, "driver"))
    if case.scenario.given.steady_state:
        yield gone("steady state", lambda: edits.without_notes(evidence, "steady_state"))
    if case.scenario.when:
        yield gone("healing", lambda: edits.without_notes(evidence, "heal"))
    first = min((event.at for event in case.scenario.when), default=evidence.main.header.end_ns)
    early = np.flatnonzero(evidence.main.items["replied_ns"] < first)
    if depends(case.expectation) and len(early):
        yield gone("version that is to serve", lambda: edits.with_values(evidence, early, version="another"))
    if family in HEARD:
        yield gone("heartbeat", lambda: edits.without_notes(evidence, "heartbeat"))
        yield gone("way to read what came", lambda: edits.with_illegible(evidence))
    if family in TWINNED:
        yield gone("twin", lambda: replace(evidence, twin=None))
    if case.expectation.parity is not None and case.expectation.parity.serving is not None:
        yield gone("clean run of that version", lambda: replace(evidence, serving={}))
    if family in COMPARED:
        yield gone("second clean run", lambda: replace(evidence, aa=None))

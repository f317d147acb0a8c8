"""One expectation, judged on its evidence: the dispatch, and the promise that a check never takes the verdict down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from simulator.checks import (
    alerting,
    arms,
    baseline,
    comparing,
    evaluators,
    grouping,
    loading,
    logged,
    metering,
    operating,
    premises,
    releasing,
    repeating,
    retraining,
    reviewing,
    selection,
    serving,
    signals,
    words,
)
from simulator.checks.evidence import Evidence
from simulator.checks.premises import PremiseError
from simulator.checks.windows import resolve
from simulator.scenario.families import AtLeast, AtMost, Exposure, Fairness, Handled, Promoted, Review, Shown
from simulator.scenario.model import FAMILIES, Expectation, Scenario
from simulator.verdict import Finding, Status

Check = Callable[[Expectation, Scenario, Evidence], Finding]


def _share(expectation: Expectation, scenario: Scenario, evidence: Evidence) -> Finding:
    window = selection.ground(expectation, scenario, evidence)
    if not window.complete:
        raise PremiseError("window: the run ended before it did", "let the run last longer")
    ballot, limit = signals.SIGNALS[expectation.family](expectation, scenario, evidence, window)
    return evaluators.share(ballot, limit)


CHECKS: Final[dict[str, Check]] = {
    **dict.fromkeys(signals.SIGNALS, _share),
    "alert": alerting.alert,
    "resolved": alerting.resolved,
    "no_alert": alerting.no_alert,
    "labels_seen": alerting.labels_seen,
    "recovers": serving.recovers,
    "rollback": serving.rollback,
    "parity": comparing.parity,
    "quality": comparing.quality,
    "idempotent": repeating.idempotent,
    "readiness": operating.readiness,
    "amplification": loading.amplification,
    "refuses": operating.refuses,
    "shadow": releasing.shadow,
    "lossless": releasing.lossless,
    "logged": logged.logged,
    "retrain": retraining.retrain,
    "cost": loading.cost,
    "reviewed": reviewing.reviewed,
    "metered": metering.metered,
    "group_errors": grouping.group_errors,
    "better": arms.better,
}
if set(CHECKS) != set(FAMILIES):
    raise RuntimeError("every family has one check")


def evaluate(expectation: Expectation, scenario: Scenario, evidence: Evidence) -> Finding:
    """Judge one expectation. Pure, and never raises: what a check raises is UNKNOWN and says what it was (S2, S3).

    Args:
        expectation: One of the scenario's, or made up for a control.
        scenario: Resolved.
        evidence: Complete or not; what is missing and needed makes the finding UNKNOWN.

    Returns:
        What the evaluator found, before any control.
    """
    try:
        return check(expectation, scenario, evidence)
    except Exception as error:  # noqa: BLE001 - a check that raises must not take the verdict with it (S2)
        text = f"the check raised {type(error).__name__}: {error}"
        return Finding(
            Status.UNKNOWN,
            stated(expectation),
            "nothing, the check broke",
            text,
            "report it: this is a defect of the judge",
        )


def check(expectation: Expectation, scenario: Scenario, evidence: Evidence) -> Finding:
    """`evaluate`, except that a defect of the judge comes out as the exception it is; controls need to know."""
    try:
        if baseline.depends(expectation):
            premises.served(evidence.main, scenario)
        finding = CHECKS[expectation.family](expectation, scenario, evidence)
    except PremiseError as broken:
        return Finding(Status.UNKNOWN, stated(expectation), "not judged", broken.why, broken.remedy)
    if finding.window_ns is None:
        return replace(finding, window_ns=resolve(expectation, scenario, evidence.main).hull)
    return finding


def stated(expectation: Expectation) -> str:
    """The limit as the file states it, for a finding that never got as far as resolving it."""
    params = expectation.params
    if isinstance(params, AtMost | Fairness) or (
        isinstance(params, Exposure | Review | Shown) and params.max is not None
    ):
        return str(evaluators.Limit(params.max or 0.0))
    if isinstance(params, AtLeast | Handled | Exposure | Promoted | Review | Shown):
        return str(evaluators.Limit.at_least(params.min or 0.0))
    if expectation.within is not None:
        after = f" after {expectation.after}" if expectation.after else ""
        return f"within {words.moment(expectation.within)}{after}"
    return expectation.family

"""Retraining in plain steps, which a scheduler may call one by one and `retrain` calls in a row.

due → pull → fit → compare → package → gate. Each is a function of what the one before returned; a step that refuses
raises `Refused`, and nothing after it is done. What comes out is a bundle in a staging folder that has passed the same
gate as any other release: putting it before customers is `rollout`'s affair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import log, log1p
from pathlib import Path
from typing import Any, Final

import lightgbm
import msgspec
import numpy as np

from reference_service.bundle import Bundle
from reference_service.training import features
from reference_service.training.gate import Gate
from reference_service.training.package import Window, package
from reference_service.training.pull import Data, Refused
from reference_service.training.train import Recipe, train
from reference_service.training.validate import Report, split_by_time, validate
from reference_service.training.weights import at, effective, representative

# Alerts that say that the model, and not what feeds it, has grown old. A drifted field alone is no reason: a unit that
# was changed upstream must be repaired there, and not be learned.
EVIDENCE: Final = frozenset({"concept_drift", "score_drift"})
_CHANCE: Final = 0.01  # that all labels of refusals are missing by bad luck
_SURELY: Final = 1e-12
_FEWEST: Final = 1000  # labelled rows that a model is compared on


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trained model, and how it does on rows that neither it nor the champion learned from."""

    booster: lightgbm.Booster
    window: Window
    sent: Mapping[str, np.ndarray]  # the rows of the window as clients send them, by field
    held_out: np.ndarray  # int64, positions in the window of the rows that both reports are of
    report: Report
    champion: Report


def due(alerts: Iterable[str], last_ns: int, now_ns: int, every_ns: int) -> str:
    """Why to retrain now: the names of alerts that are evidence, or "schedule"; "" if there is no reason."""
    evidence = sorted(EVIDENCE.intersection(alerts))
    return ", ".join(evidence) or ("schedule" if every_ns and now_ns - last_ns >= every_ns else "")


def fit(champion: Bundle, data: Data, recipe: Recipe) -> Candidate:
    """Train on the earlier labelled rows; judge the new model and the champion on the later ones.

    A refusal that was let through at random counts for all that it stands for, in both.
    """
    _identified(data)
    contract, values = champion.contract, data.values
    known, weights = representative(data.labels, data.refused, data.propensity)
    labelled = np.flatnonzero(known >= 0)
    earlier, later = (labelled[part] for part in split_by_time(data.event_ns[labelled]))
    worth = effective(at(weights, later), len(later))
    if worth < _FEWEST or len(set(known[later].tolist())) < 2:  # noqa: PLR2004 - both outcomes
        raise Refused(
            f"fit: {len(later)} later labelled rows, worth {worth:.0f} of equal weight; "
            f"it takes {_FEWEST} with both outcomes to compare models"
        )
    seen = features.for_model(contract, values)
    names = [field.name for field in contract.fields]
    booster = train(recipe, names, seen[earlier], known[earlier], at(weights, earlier))
    new = np.asarray(booster.predict(seen[later], num_threads=1))
    old = np.array([champion.probability(float(m)) for m in champion.margin(champion.codes(values[later]))])
    labels, event_ns, counts = known[later], data.event_ns[later], at(weights, later)
    return Candidate(
        booster,
        Window(values=values, event_ns=data.event_ns, labels=known, weights=weights),
        data.sent,
        later,
        validate(labels, new, event_ns, counts),
        validate(labels, old, event_ns, counts),
    )


def _identified(data: Data) -> None:
    """Refuse to learn where refusals keep their truth: who is refused once would be for ever, and no number shows it.

    None of them has a label, which chance hardly explains; the monitors call the same data unidentifiable.
    """
    if data.refused is None or not data.refused.any():
        return
    known = data.labels >= 0
    refused, seen = int(data.refused.sum()), float(known[~data.refused].mean()) if (~data.refused).any() else 0.0
    if not known[data.refused].any() and refused * log1p(-min(seen, 1 - _SURELY)) < log(_CHANCE):
        raise Refused(
            f"fit: unidentifiable: none of {refused} refusals has a label, and {seen:.0%} of all others have one; "
            "let a share of the refusals through at random (policy `explore_share`)"
        )


def compare(candidate: Candidate, tolerated: float = 1.0) -> Candidate:
    """Refuse a model whose loss on the same later rows is more than `tolerated` times the champion's."""
    new, old = candidate.report, candidate.champion
    if new.brier > old.brier * tolerated:
        raise Refused(f"compare: Brier {new.brier:.5f} on {new.n} later rows, the champion's is {old.brier:.5f}")
    return candidate


def pack(champion: Bundle, candidate: Candidate, version: str, staging: Path) -> Path:
    """The bundle in the staging folder; its borders of decision send as many rows to people as the champion's do."""
    scores = np.asarray(candidate.booster.predict(features.for_model(champion.contract, candidate.window.values)))
    old = np.array([champion.probability(float(m)) for m in champion.margin(champion.codes(candidate.window.values))])
    policy: dict[str, Any] = dict(champion.policy)
    for name in ("review_from", "block_from"):
        if name in policy:
            policy[name] = round(float(np.quantile(scores, (old < policy[name]).mean())), 4)
    place = staging / version
    package(
        place,
        contract=msgspec.structs.replace(champion.contract, version=version),
        policy=policy,
        booster=candidate.booster,
        window=candidate.window,
        report=candidate.report,
        fallback_field=champion.profile.fallback_field,
        sent=candidate.sent,
        held_out=candidate.held_out,
    )
    return place


def retrain(
    champion: Bundle,
    data: Data,
    version: str,
    *,
    staging: Path,
    gate: Gate,
    recipe: Recipe,
    tolerated: float = 1.0,
    tell: Callable[[str], None] = print,
) -> Path:
    """Every step in a row; returns the bundle that has passed the gate. Raises Refused or BundleError."""
    tell(f"champion {champion.version} ({champion.digest[:12]})")
    tell(f"pulled {len(data.labels)} rows, {int((data.labels >= 0).sum())} labelled")
    candidate = compare(fit(champion, data, recipe), tolerated)
    stands = candidate.window.weights
    if stands is not None:
        drawn = stands[(candidate.window.labels >= 0) & (stands > 1)]
        tell(f"{len(drawn)} labelled refusals that were let through at random stand for {drawn.sum():.0f}")
    tell(f"Brier {candidate.report.brier:.5f}, the champion's {candidate.champion.brier:.5f}")
    place = pack(champion, candidate, version, staging)
    gate(place)
    tell(f"{version} has passed the gate: {place}")
    return place

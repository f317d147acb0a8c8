"""Retraining in plain steps, which a scheduler may call one by one and `retrain` calls in a row.

due → pull → fit → compare → package → gate. Each is a function of what the one before returned; a step that refuses
raises `Refused`, and nothing after it is done. What comes out is a bundle in a staging folder that has passed the same
gate as any other release: putting it before customers is `rollout`'s affair.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import lightgbm
import msgspec
import numpy as np
import pyarrow.parquet as pq

from reference_service import bundle as bundles
from reference_service.bundle import Bundle
from reference_service.contract import Contract
from reference_service.training import features
from reference_service.training.package import Window, package
from reference_service.training.train import Recipe, train
from reference_service.training.validate import Report, split_by_time, validate

# Alerts that say that the model, and not what feeds it, has grown old. A drifted field alone is no reason: a unit that
# was changed upstream must be repaired there, and not be learned.
EVIDENCE: Final = frozenset({"concept_drift", "score_drift"})
_FEWEST: Final = 1000  # labelled rows that a model is compared on


class Refused(Exception):  # noqa: N818  # an answer, not a fault
    """A step says no; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Data:
    """What production sent and what became of it: n rows in any order."""

    columns: Mapping[str, np.ndarray]  # by field, as `features.encode` takes them
    event_ns: np.ndarray  # int64[n]
    labels: np.ndarray  # int64[n]; -1: not known


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trained model, and how it does on rows that neither it nor the champion learned from."""

    booster: lightgbm.Booster
    window: Window
    report: Report
    champion: Report


def due(alerts: Iterable[str], last_ns: int, now_ns: int, every_ns: int) -> str:
    """Why to retrain now: the names of alerts that are evidence, or "schedule"; "" if there is no reason."""
    evidence = sorted(EVIDENCE.intersection(alerts))
    return ", ".join(evidence) or ("schedule" if every_ns and now_ns - last_ns >= every_ns else "")


def pull(path: Path, contract: Contract) -> Data:
    """Read a Parquet file with a column for each field, `event_ns`, and `label` (null where it is not known)."""
    table = pq.read_table(path)
    wanted = [field.name for field in contract.fields]
    missing = sorted({*wanted, "event_ns", "label"} - set(table.column_names))
    if missing:
        raise Refused(f"pull: {path} has no column {', '.join(missing)}")
    columns = {
        field.name: np.array(table[field.name].to_pylist(), dtype=object if field.kind == "category" else np.float64)
        for field in contract.fields
    }
    labels = np.array([-1 if value is None else int(value) for value in table["label"].to_pylist()], dtype=np.int64)
    return Data(columns, np.array(table["event_ns"].to_pylist(), dtype=np.int64), labels)


def fit(champion: Bundle, data: Data, recipe: Recipe) -> Candidate:
    """Train on the earlier labelled rows; judge the new model and the champion on the later ones."""
    contract = champion.contract
    values = features.encode(contract, data.columns)
    labelled = np.flatnonzero(data.labels >= 0)
    earlier, later = (labelled[part] for part in split_by_time(data.event_ns[labelled]))
    if len(later) < _FEWEST or len(set(data.labels[later].tolist())) < 2:  # noqa: PLR2004 - both outcomes
        raise Refused(f"fit: {len(later)} later labelled rows; it takes {_FEWEST} with both outcomes to compare models")
    seen = features.for_model(contract, values)
    booster = train(recipe, [field.name for field in contract.fields], seen[earlier], data.labels[earlier])
    new = np.asarray(booster.predict(seen[later], num_threads=1))
    old = np.array([champion.probability(float(m)) for m in champion.margin(champion.codes(values[later]))])
    labels, event_ns = data.labels[later], data.event_ns[later]
    return Candidate(
        booster,
        Window(values=values, event_ns=data.event_ns, labels=data.labels),
        validate(labels, new, event_ns),
        validate(labels, old, event_ns),
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
    )
    return place


def gate(place: Path, command: Sequence[str]) -> Path:
    """Let the release gate judge the bundle: a command that ends with 0 lets it through, and nothing else does.

    The command finds the staging folder in SEATRIAL_BUNDLES and the version in SEATRIAL_VERSION. There is no retraining
    without a gate: an empty command refuses.
    """
    if not command:
        raise Refused("gate: no command is configured, and nothing is released that no gate has seen")
    environment = {**os.environ, "SEATRIAL_BUNDLES": str(place.parent), "SEATRIAL_VERSION": place.name}
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)  # noqa: S603 - the operator's own
    if done.returncode:
        raise Refused(
            f"gate: {command[0]} ended with {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}".rstrip()
        )
    return place


def retrain(
    champion_at: Path,
    data_at: Path,
    version: str,
    *,
    staging: Path,
    command: Sequence[str],
    recipe: Recipe,
    tolerated: float = 1.0,
    tell: Callable[[str], None] = print,
) -> Path:
    """Every step in a row; returns the bundle that has passed the gate. Raises Refused or BundleError."""
    champion = bundles.load(champion_at)
    tell(f"champion {champion.version} ({champion.digest[:12]})")
    data = pull(data_at, champion.contract)
    tell(f"pulled {len(data.labels)} rows, {int((data.labels >= 0).sum())} labelled")
    candidate = compare(fit(champion, data, recipe), tolerated)
    tell(f"Brier {candidate.report.brier:.5f}, the champion's {candidate.champion.brier:.5f}")
    place = gate(pack(champion, candidate, version, staging), command)
    tell(f"{version} has passed the gate: {place}")
    return place

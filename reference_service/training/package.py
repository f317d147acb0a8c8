"""A trained model and its training window, made into a bundle: compile, profile, choose golden rows, pack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import lightgbm
import numpy as np

from reference_service.bundle import GOLDEN_ROWS, Bundle, Golden, Profile, libraries, pack
from reference_service.contract import Contract
from reference_service.core import kernel
from reference_service.core.binning import UNSEEN
from reference_service.core.cells import N_CELLS, NULL_CELL
from reference_service.core.compiled import Compiled, compile_model
from reference_service.core.trees import Model, parse
from reference_service.training import features
from reference_service.training.validate import Report, errors_by_group
from reference_service.training.weights import at

_HOUR_NS: Final = 3600 * 1_000_000_000
_HOURS: Final = 24
_REQUESTS: Final = 64
_SHRINK: Final = 100.0  # rows at the overall rate that every category is given, so that a rare one says little


@dataclass(frozen=True, slots=True)
class Window:
    """The training window, encoded: n rows in any order."""

    values: np.ndarray  # float64[n, f] of `features.encode`
    event_ns: np.ndarray  # int64[n], when each row happened
    labels: np.ndarray  # int64[n], 1, 0, or -1 where the label never came
    weights: np.ndarray | None = None  # float64[n], how many rows each labelled one stands for; None: itself


def package(
    path: Path,
    *,
    contract: Contract,
    policy: Mapping[str, Any],
    booster: lightgbm.Booster,
    window: Window,
    report: Report,
    fallback_field: str,
    sent: Mapping[str, np.ndarray] | None = None,
    held_out: np.ndarray | None = None,
) -> Bundle:
    """Write the bundle of a trained model.

    Args:
        path: The bundle's folder; replaced if it exists.
        contract: Its fields are the model's features.
        policy: Thresholds of the service, opaque here.
        booster: The trained model.
        window: What the monitors take as their reference, and what null and rare rows are chosen from.
        report: Quality on held-out rows.
        fallback_field: The category whose positive rates answer when the model cannot.
        sent: The rows of the window as clients sent them, by field: what `features.encode` takes. Absent: nobody can
            tell whether serving makes the same features of a request as training did.
        held_out: int64 positions of rows of the window whose labels are known and which the model has not learned
            from. Absent, or without a group field in the policy: nobody can tell how its errors differ between groups.

    Raises:
        TooManyCuts, ModelError: The model cannot be compiled.
        BundleError: The compiled model differs from LightGBM on a golden row.
    """
    text = booster.model_to_string()
    model = parse(text)
    compiled = compile_model(model, features.n_categories(contract), window.values)
    values = golden_values(contract, model, window.values)
    margins = booster.predict(features.for_model(contract, values), raw_score=True, num_threads=1)
    requests, expected = ([], []) if sent is None else _requests(contract, booster, window, sent)
    return pack(
        path,
        contract=contract,
        policy=policy,
        profile=replace(
            _profile(contract, compiled, window, report, fallback_field),
            group_errors={} if held_out is None else _group_errors(contract, policy, booster, window, held_out),
        ),
        model_text=text,
        compiled=compiled,
        golden=Golden(
            values=[[None if np.isnan(x) else x for x in row] for row in values.tolist()],
            margins=np.asarray(margins).tolist(),
            requests=requests,
            expected=expected,
            made_with=libraries(),
        ),
    )


def _requests(
    contract: Contract, booster: lightgbm.Booster, window: Window, sent: Mapping[str, np.ndarray]
) -> tuple[list[dict[str, float | str | bool | None]], list[float]]:
    """Rows as they were sent, evenly spaced, and what the model says of them as training encoded them."""
    chosen = np.linspace(0, len(window.values) - 1, _REQUESTS).astype(np.int64)
    margins = booster.predict(features.for_model(contract, window.values[chosen]), raw_score=True, num_threads=1)
    rows = [{field.name: _plain(field.kind, sent[field.name][i]) for field in contract.fields} for i in chosen.tolist()]
    return rows, np.asarray(margins).tolist()


def _group_errors(
    contract: Contract, policy: Mapping[str, Any], booster: lightgbm.Booster, window: Window, rows: np.ndarray
) -> dict[str, list[list[int]]]:
    """How often the model errs about each group, by rows that it did not learn from."""
    names = [field.name for field in contract.fields]
    if policy.get("group_field") not in names:
        return {}
    j = names.index(policy["group_field"])
    scores = np.asarray(booster.predict(features.for_model(contract, window.values[rows]), num_threads=1))
    groups = features.decode(contract, window.values[rows])[names[j]].tolist()
    known = set(contract.fields[j].categories)
    return errors_by_group(
        [group if group in known else "" for group in groups],
        window.labels[rows],
        scores < policy["review_from"],
        at(window.weights, rows),
    )


def _plain(kind: str, value: Any) -> float | str | bool | None:
    """A value as JSON has it."""
    if value is None or kind == "category":
        return None if value is None else str(value)
    return None if np.isnan(value) else bool(value) if kind == "boolean" else float(value)


def golden_values(contract: Contract, model: Model, values: np.ndarray) -> np.ndarray:
    """float64[256, f]: rows that between them show what can go wrong.

    All null; each feature null; each category unseen; as many split thresholds as fit into half of the rows, each
    met exactly and missed by the last bit; the rest real rows, evenly spaced over the window.
    """
    n_categories = features.n_categories(contract)
    spaced = values[np.linspace(0, len(values) - 1, GOLDEN_ROWS).astype(np.int64)]
    rows = spaced.copy()
    rows[0] = np.nan
    at = 1
    for j, k in enumerate(n_categories):
        for value in (np.nan, UNSEEN) if k else (np.nan,):
            rows[at, j] = value
            at += 1
    splits = sorted({(node.feature, node.threshold) for tree in model.trees for node in tree.nodes})
    splits = [(j, t) for j, t in splits if not n_categories[j]]
    room = min((GOLDEN_ROWS // 2 - at) // 3, len(splits))
    for chosen in np.linspace(0, len(splits) - 1, room).astype(np.int64) if room > 0 else ():
        j, threshold = splits[chosen]
        for value in (np.nextafter(threshold, -np.inf), threshold, np.nextafter(threshold, np.inf)):
            rows[at, j] = value
            at += 1
    return rows


def _profile(contract: Contract, compiled: Compiled, window: Window, report: Report, fallback_field: str) -> Profile:
    arena = kernel.build_arena(compiled.bins, compiled.forest, compiled.cells)
    counts = np.zeros((_HOURS, len(contract.fields), N_CELLS), dtype=np.int64)
    hour = window.event_ns // _HOUR_NS % _HOURS
    for h in range(_HOURS):
        kernel.count_rows(arena, window.values[hour == h], counts[h])
    hourly_n = np.bincount(hour, minlength=_HOURS).astype(np.int64)
    shares = counts.sum(axis=0) / len(window.values)
    rates, otherwise = _rates(contract, window, fallback_field)
    return Profile(
        n_reference=len(window.values),
        cell_shares=shares,
        hourly_n=hourly_n,
        hourly_shares=counts / np.maximum(hourly_n, 1)[:, None, None],
        null_shares=shares[:, NULL_CELL],
        typical=features.typical(contract, window.values),
        score_deciles=report.score_deciles,
        calibration_cuts=report.calibration_cuts,
        calibration=report.calibration,
        positive_rate=report.positive_rate,
        brier=report.brier,
        auc=report.auc,
        auc_error=report.auc_error,
        fallback_field=fallback_field,
        fallback_rates=rates,
        fallback_otherwise=otherwise,
    )


def _rates(contract: Contract, window: Window, fallback_field: str) -> tuple[dict[str, float], float]:
    """The positive rate of each category, shrunk towards the overall rate, and that rate."""
    j = [field.name for field in contract.fields].index(fallback_field)
    known = window.labels >= 0
    labels, categories = window.labels[known], window.values[known, j]
    weights = np.ones(len(labels)) if window.weights is None else window.weights[known]
    overall = float(np.average(labels, weights=weights))
    rates = {}
    for ordinal, name in enumerate(contract.fields[j].categories):
        of = categories == ordinal
        positives = float((weights * labels)[of].sum())
        rates[name] = (positives + _SHRINK * overall) / (float(weights[of].sum()) + _SHRINK)
    return rates, overall

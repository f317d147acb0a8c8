"""The bundles of each population: its data from the simulator, its contract from beside the scenarios."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import click
import lightgbm
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from reference_service.contract import Contract
from reference_service.training import features, rules
from reference_service.training.package import Window, package
from reference_service.training.train import Recipe, train
from reference_service.training.validate import split_by_time, validate
from scenarios.populations import flights as flights_contract
from scenarios.populations import payments as payments_contract
from simulator.world import populations
from simulator.world.population import Truth
from simulator.world.populations import payments as cards

_HOUR_NS: Final = 3600 * 1_000_000_000
_REVIEWED: Final = 0.05  # share of rows that people can look at
_LOSS_FACTOR: Final = 1.25  # of the base loss, tolerated at least; more where whole days were worse in training
_BLOCKED: Final = 0.005  # share of rows that are refused outright


def payments(folder: Path) -> None:
    """Every version of the payments model, and the feature store's table of customers."""
    rows, truth = populations.training("payments")
    _build(
        folder,
        contract=payments_contract.CONTRACT,
        recipes=payments_contract.RECIPES,
        fallback_field=payments_contract.FALLBACK_FIELD,
        columns=rows.sent | rows.latent,
        skews=payments_contract.SKEWS,
        plain={"rules": rules.booster(payments_contract.CONTRACT, payments_contract.BASE, payments_contract.RULES)},
        event_ns=rows.event_ns,
        truth=truth,
        policy={
            "group_field": "country"
        },  # labels keep the service's own horizon: their delay is the scenario's to say
    )
    _audit(folder / "audited.parquet", rows.sent | rows.latent, rows.event_ns, truth)
    table = cards.customers()
    np.savez_compressed(folder / "customers.npz", entity_id=np.arange(cards.CUSTOMERS, dtype=np.int64), **table)


def _audit(path: Path, columns: Mapping[str, np.ndarray], event_ns: np.ndarray, truth: Truth) -> None:
    """Rows that no model has learned from, with labels that somebody has looked into: what a gate examines on."""
    later = split_by_time(event_ns)[1]
    labels = [None if value < 0 else int(value) for value in truth.label[later]]
    found = {name: column[later].tolist() for name, column in columns.items()}
    pq.write_table(pa.table({**found, "event_ns": event_ns[later], "label": labels}), path)


# Forty departures an hour: rates are judged every five minutes, and drift on two days, the fewest that hold a thousand.
# Weather has seasons that a model of one quarter never saw, and a storm delays everybody for hours: a quarter of a day
# is one piece of evidence, so that it takes four of the worst days in a row to page, and a week of good ones to clear.
_SEASONAL: Final = {
    "tick_ns": _HOUR_NS // 12,
    "window_ns": 48 * _HOUR_NS,
    "heartbeat_ns": _HOUR_NS // 2,
    "loss_block_ns": 6 * _HOUR_NS,
    "loss_rows": 28,
}


def flights(folder: Path) -> None:
    """Every version of the flights model, trained on January to March."""
    rows, truth = populations.training("flights")
    known = truth.label_after_ns[truth.label >= 0]
    horizon = -(-int(np.quantile(known, 0.99)) // _HOUR_NS) * _HOUR_NS
    _build(
        folder,
        contract=flights_contract.contract(tuple(sorted(set(rows.sent["dest"].tolist())))),
        recipes=flights_contract.RECIPES,
        fallback_field=flights_contract.FALLBACK_FIELD,
        columns=rows.sent,
        event_ns=rows.event_ns,
        truth=truth,
        policy={"label_horizon_ns": horizon, **_SEASONAL},
    )


def _build(
    folder: Path,
    *,
    contract: Contract,
    recipes: Mapping[str, Recipe],
    fallback_field: str,
    columns: Mapping[str, np.ndarray],
    event_ns: np.ndarray,
    truth: Truth,
    policy: Mapping[str, Any],
    skews: Mapping[str, Callable[[np.ndarray], np.ndarray]] = MappingProxyType({}),
    plain: Mapping[str, lightgbm.Booster] = MappingProxyType({}),
) -> None:
    """One bundle to a recipe, all trained on the earlier and judged on the later rows of the same window.

    `plain` are versions that nothing was trained for; they are judged on the same rows.
    """
    values = features.encode(contract, columns)
    contract = features.with_defaults(contract, values)
    labels = truth.label.astype(np.int64)
    labelled = np.flatnonzero(labels >= 0)
    earlier, later = (labelled[part] for part in split_by_time(event_ns[labelled]))
    names = [field.name for field in contract.fields]
    for name in (*recipes, *plain):
        trained = skews[name](values) if name in skews else values
        seen = features.for_model(contract, trained)
        booster = plain[name] if name in plain else train(recipes[name], names, seen[earlier], labels[earlier])
        probabilities = np.asarray(booster.predict(seen[later], num_threads=1))
        report = validate(labels[later], probabilities, event_ns[later])
        review_from, block_from = np.quantile(probabilities, [1 - _REVIEWED, 1 - _BLOCKED]).round(4).tolist()
        # Where hours count as one, a bad day is borne by the evidence; else it has to be borne by the bound.
        worst = _LOSS_FACTOR if policy.get("loss_block_ns") else report.worst_day_brier / report.brier
        tolerated = round(max(_LOSS_FACTOR, worst), 3)
        package(
            folder / name,
            contract=msgspec.structs.replace(contract, version=name),
            policy={**policy, "review_from": review_from, "block_from": block_from, "loss_factor": tolerated},
            booster=booster,
            window=Window(values=trained, event_ns=event_ns, labels=labels),
            report=report,
            fallback_field=fallback_field,
            sent=columns,
            held_out=later,
        )
        click.echo(f"{folder.name} {name}: AUC {report.auc:.4f}, Brier {report.brier:.5f} on {report.n} later rows")

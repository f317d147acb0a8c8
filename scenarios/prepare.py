"""Train and package what the scenarios serve: ``python -m scenarios.prepare``.

Writes `scenarios/bundles/` (not in git): a bundle for each version of each population, and the feature store's
table for payments. Does nothing when everything that determines them is unchanged since the last time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import click
import msgspec
import numpy as np

from reference_service.contract import Contract
from reference_service.training import features
from reference_service.training.package import Window, package
from reference_service.training.train import Recipe, train
from reference_service.training.validate import split_by_time, validate
from scenarios.populations import flights as flights_contract
from scenarios.populations import payments as payments_contract
from simulator.world import populations
from simulator.world.population import Truth
from simulator.world.populations import payments

ROOT: Final = Path(__file__).parent.parent
BUNDLES: Final = ROOT / "scenarios" / "bundles"

# Everything that determines a bundle, apart from the libraries.
_SOURCES: Final = (
    "reference_service/bundle.py",
    "reference_service/contract.py",
    "reference_service/profile.py",
    "reference_service/core/*.py",
    "reference_service/training/*.py",
    "simulator/world/keyed.py",
    "simulator/world/portable.py",
    "simulator/world/populations/*.py",
    "scenarios/prepare.py",
    "scenarios/populations/*.py",
)
_LIBRARIES: Final = ("lightgbm", "numba", "numpy")
_STAMP: Final = "prepared.json"
_HOUR_NS: Final = 3600 * 1_000_000_000
_REVIEWED: Final = 0.05  # share of rows that people can look at
_BLOCKED: Final = 0.005  # share of rows that are refused outright


def prepare(into: Path = BUNDLES, *, force: bool = False) -> bool:
    """Write all bundles, unless what is there was made from the same inputs. Returns whether it wrote."""
    inputs = _inputs_digest()
    if not force and _is_current(into, inputs):
        return False
    into.mkdir(parents=True, exist_ok=True)
    (into / _STAMP).unlink(missing_ok=True)
    _prepare_payments(into / "payments")
    _prepare_flights(into / "flights")
    stamp = {"inputs": inputs, "files": _digests(into)}
    (into / _STAMP).write_text(json.dumps(stamp, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return True


def _prepare_payments(folder: Path) -> None:
    rows, truth = populations.training("payments")
    _build(
        folder,
        contract=payments_contract.CONTRACT,
        recipes=payments_contract.RECIPES,
        fallback_field=payments_contract.FALLBACK_FIELD,
        columns=rows.sent | rows.latent,
        event_ns=rows.event_ns,
        truth=truth,
        policy={},  # the delay of labels is the scenario's to say; the service's own horizon stands
    )
    table = payments.customers()
    np.savez_compressed(folder / "customers.npz", entity_id=np.arange(payments.CUSTOMERS, dtype=np.int64), **table)


def _prepare_flights(folder: Path) -> None:
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
        policy={"label_horizon_ns": horizon},
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
) -> None:
    """One bundle to a recipe, all trained on the earlier and judged on the later rows of the same window."""
    values = features.encode(contract, columns)
    contract = features.with_defaults(contract, values)
    labels = truth.label.astype(np.int64)
    labelled = np.flatnonzero(labels >= 0)
    earlier, later = (labelled[part] for part in split_by_time(event_ns[labelled]))
    seen = features.for_model(contract, values)
    for name, recipe in recipes.items():
        booster = train(recipe, [field.name for field in contract.fields], seen[earlier], labels[earlier])
        probabilities = np.asarray(booster.predict(seen[later], num_threads=1))
        report = validate(labels[later], probabilities)
        review_from, block_from = np.quantile(probabilities, [1 - _REVIEWED, 1 - _BLOCKED]).round(4).tolist()
        package(
            folder / name,
            contract=msgspec.structs.replace(contract, version=name),
            policy={**policy, "review_from": review_from, "block_from": block_from},
            booster=booster,
            window=Window(values=values, event_ns=event_ns, labels=labels),
            report=report,
            fallback_field=fallback_field,
        )
        click.echo(f"{folder.name} {name}: AUC {report.auc:.4f}, Brier {report.brier:.5f} on {report.n} later rows")


def _inputs_digest() -> str:
    digest = hashlib.sha256()
    for library in _LIBRARIES:
        digest.update(f"{library} {version(library)}\n".encode())
    for pattern in _SOURCES:
        for path in sorted(ROOT.glob(pattern)):
            digest.update(f"{path.relative_to(ROOT)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _digests(into: Path) -> dict[str, str]:
    files = sorted(path for path in into.rglob("*") if path.is_file() and path.name != _STAMP)
    return {str(path.relative_to(into)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _is_current(into: Path, inputs: str) -> bool:
    try:
        stamp = json.loads((into / _STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return stamp == {"inputs": inputs, "files": _digests(into)}


@click.command()
@click.option("--force", is_flag=True, help="Train again even if nothing has changed.")
@click.option("--into", type=click.Path(path_type=Path), default=BUNDLES, help="The folder to write.")
def main(*, force: bool, into: Path) -> None:
    """Train and package what the scenarios serve."""
    click.echo(f"bundles written to {into}" if prepare(into, force=force) else f"bundles in {into} are up to date")


if __name__ == "__main__":
    main()

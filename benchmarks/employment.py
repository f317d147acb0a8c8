"""NannyML's employment data, on which nothing goes wrong: ``python -m benchmarks.employment --data FOLDER``.

The people of Massachusetts in the US census, 2015 as the reference and 2016 to 2018, year after year, through the
shipped monitors: nobody is to be paged. The data has years and no clock, so the pace is ours, ten rows a second, at
which the service's own thresholds hold as they are, and so is the order within a year, which is drawn. The order of
the file is none of time: those who live in group quarters stand together at the end of 2017 and at the start of 2018,
about 5,000 at each place. That is a shift, and pages (``--file-order`` shows it).

The files come in the wheel of `nannyml` (``uv sync --group census``, which installs nothing else), which is read
by path and never imported; FOLDER is where it was installed, if not here.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from importlib import metadata
from pathlib import Path
from typing import Final

import click
import numpy as np
import pyarrow as pa
from pyarrow import parquet

from reference_service import policy as policies
from reference_service.bundle import Bundle
from reference_service.contract import Contract, Field
from reference_service.monitor.alerts import AlertBook
from reference_service.monitor.inputs import InputMonitors
from reference_service.training import features
from reference_service.training.package import Window, package
from reference_service.training.train import Recipe, train
from reference_service.training.validate import split_by_time, validate

_LABEL: Final = "employed"
_NOT_INPUTS: Final = frozenset({"id", "year", "prediction", "predicted_probability", _LABEL})
_APART_NS: Final = 100_000_000  # between two rows
_MODEL: Final = Recipe(seed=1, trees=50, leaves=31)


class DataMissingError(RuntimeError):
    """The data is not there; says what to do."""


def folder(installed: Path | None = None) -> Path:
    """Where the files lie: below `installed`, or in the `nannyml` of this environment. DataMissingError if nowhere."""
    if installed is None:
        try:
            files = metadata.distribution("nannyml").files or []
        except metadata.PackageNotFoundError as error:
            raise DataMissingError("needs the data of nannyml: uv sync --inexact --group census") from error
        found = [Path(str(file.locate())) for file in files if file.name == "employment_MA_reference.pq"]
    else:
        found = list(installed.rglob("employment_MA_reference.pq"))
    if not found:
        raise DataMissingError(f"no employment_MA_reference.pq in {installed or 'the nannyml of this environment'}")
    return found[0].parent


def build(data: Path, into: Path) -> Bundle:
    """A bundle whose reference is the first period."""
    table = parquet.read_table(data / "employment_MA_reference.pq")
    names = [name for name in table.column_names if name not in _NOT_INPUTS]
    contract = Contract(
        model="employment", version="v1", entity="id", fields=tuple(_field(table, name) for name in names)
    )
    values = features.encode(contract, _columns(table, names))
    contract = features.with_defaults(contract, values)
    labels = table[_LABEL].to_numpy().astype(np.int64)
    event_ns = np.arange(len(labels), dtype=np.int64) * _APART_NS
    earlier, later = split_by_time(event_ns)
    booster = train(_MODEL, names, values[earlier], labels[earlier])
    scores = np.asarray(booster.predict(values[later], num_threads=1))
    return package(
        into / "v1",
        contract=contract,
        policy={"review_from": 0.9, "block_from": 0.99},
        booster=booster,
        window=Window(values=values, event_ns=event_ns, labels=labels),
        report=validate(labels[later], scores, event_ns[later]),
        fallback_field=next(field.name for field in contract.fields if field.kind == "category"),
    )


def replay(
    data: Path, bundle: Bundle, *, seed: int = 1, file_order: bool = False, at_most: int | None = None
) -> tuple[int, Counter[tuple[str, str, str]]]:
    """The second period, year after year, or its first rows: rows judged, and (severity, alert, field) → episodes."""
    table = parquet.read_table(data / "employment_MA_analysis.pq")
    if not file_order:
        years = table["year"].to_numpy()
        table = table.take(np.lexsort((np.random.default_rng(seed).random(len(years)), years)))
    table = table.slice(0, at_most)
    names = [field.name for field in bundle.contract.fields]
    values = features.encode(bundle.contract, _columns(table, names))
    codes = bundle.codes(values)
    scores = np.array([bundle.probability(margin) for margin in bundle.margin(codes).tolist()])
    policy = policies.read(bundle.policy)
    monitors, book = InputMonitors(bundle, policy, 0), AlertBook("bench", policy.hold_ns)
    found: Counter[tuple[str, str, str]] = Counter()
    step = policy.tick_ns // _APART_NS
    for tick, first in enumerate(range(0, len(values), step), start=1):
        counts = bundle.new_counts()
        bundle.count(values[first : first + step], counts)
        monitors.scores.extend(scores[first : first + step].tolist())
        now_ns = tick * policy.tick_ns
        for note in book.update(now_ns, monitors.look(counts, now_ns)):
            if note.firing:
                found[note.severity, note.name, note.field] += 1
    return len(values), found


def _field(table: pa.Table, name: str) -> Field:
    column = table[name]
    if not pa.types.is_dictionary(column.type):
        return Field(name=name, kind="number", on_null="model")
    known = sorted(value for value in column.unique().to_pylist() if value is not None)
    return Field(name=name, kind="category", categories=tuple(known), on_null="model")


def _columns(table: pa.Table, names: list[str]) -> dict[str, np.ndarray]:
    """As production sends them: object of a category, float64 of a number."""
    return {
        name: np.array(
            table[name].to_pylist(), dtype=object if pa.types.is_dictionary(table[name].type) else np.float64
        )
        for name in names
    }


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), help="Folder in which nannyml was installed.")
@click.option("--seeds", default=5, help="Orders drawn.")
@click.option("--file-order", is_flag=True, help="The order of the file, once.")
def main(data: Path | None, seeds: int, *, file_order: bool) -> None:
    """Replay the second period; fails if anybody is paged."""
    try:
        found = folder(data)
    except DataMissingError as error:
        raise click.ClickException(str(error)) from error
    with tempfile.TemporaryDirectory() as into:
        bundle = build(found, Path(into))
        told = 0
        for seed in range(1, 2 if file_order else seeds + 1):
            rows, alerts = replay(found, bundle, seed=seed, file_order=file_order)
            pages = sum(n for (severity, *_), n in alerts.items() if severity == "page")
            kinds = {"/".join(filter(None, key)): n for key, n in sorted(alerts.items())}
            print(json.dumps({"name": "employment", "seed": seed, "rows": rows, "pages": pages, "alerts": kinds}))
            told += pages
    raise SystemExit(bool(told))


if __name__ == "__main__":
    main()

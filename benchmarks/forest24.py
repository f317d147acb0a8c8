"""The model of the HTTP benchmarks: 200 trees of 31 leaves, 24 features with nulls; a bundle and a LightGBM file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm
import msgspec
import numpy as np

from reference_service.contract import Contract, Field
from reference_service.training.package import Window, package
from reference_service.training.validate import validate

NUMBERS = tuple(f"x{k:02d}" for k in range(23))
SEGMENTS = ("a", "b", "c", "d")
NAMES = (*NUMBERS, "segment")
NULLS = 0.1  # share of numbers
NOW_NS = 1_750_000_000 * 1_000_000_000


def rows(count: int, seed: int) -> np.ndarray:
    """float64[count, 24]; the last is a category."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(count, len(NAMES))).round(4)
    values[rng.random(values.shape) < NULLS] = np.nan
    values[:, -1] = rng.integers(0, len(SEGMENTS), count)
    return values


def build(folder: Path) -> None:
    """Write `folder/bundles/v1` and `folder/model.bst`."""
    values = rows(30_000, 1)
    rng = np.random.default_rng(2)
    signal = np.nan_to_num(np.sin(values[:, 0] * 2) + values[:, 1] * values[:, 2] + values[:, 3:].sum(axis=1) / 4)
    labels = (signal + rng.normal(size=len(values)) > 1).astype(np.int64)
    settings = {"objective": "binary", "num_leaves": 31, "max_bin": 200, "seed": 1, "verbose": -1, "num_threads": 2}
    train = lightgbm.Dataset(values, labels, params=settings, feature_name=list(NAMES))
    booster = lightgbm.train(settings, train, 200)
    booster.save_model(folder / "model.bst")
    fields = [Field(name=name, kind="number", minimum=-10, maximum=10, on_null="model") for name in NUMBERS]
    fields.append(Field(name="segment", kind="category", categories=SEGMENTS, default="a", on_null="default"))
    contract = Contract(model="bench", version="v1", entity="customer", fields=tuple(fields))
    event_ns = NOW_NS + np.arange(len(values)) * 1_000_000_000
    report = validate(labels, np.asarray(booster.predict(values, num_threads=2)), event_ns)
    (folder / "bundles").mkdir()
    package(
        folder / "bundles" / "v1",
        contract=contract,
        policy={"review_from": 0.5, "block_from": 0.9},
        booster=booster,
        window=Window(values=values, event_ns=event_ns, labels=labels),
        report=report,
        fallback_field="segment",
    )


def _number(value: float) -> float | None:
    return None if value != value else value  # noqa: PLR0124  # NaN is what differs from itself


def for_us(index: int, row: list[float]) -> bytes:
    """One row in the inference protocol, as our clients send it."""
    inputs: list[dict[str, Any]] = [{"name": "customer", "shape": [1], "datatype": "INT64", "data": [index]}]
    inputs += [
        {"name": name, "shape": [1], "datatype": "FP64", "data": [_number(value)]}
        for name, value in zip(NUMBERS, row, strict=False)
    ]
    inputs.append({"name": "segment", "shape": [1], "datatype": "BYTES", "data": [SEGMENTS[int(row[-1])]]})
    return msgspec.json.encode({"id": f"r{index}", "inputs": inputs})


def for_mlserver(index: int, row: list[float]) -> bytes:
    """The same row as MLServer's pandas codec takes it; null is NaN's place there as well."""
    inputs = [
        {"name": name, "shape": [1], "datatype": "FP64", "data": [_number(value)]}
        for name, value in zip(NAMES, row, strict=True)
    ]
    return msgspec.json.encode({"id": f"r{index}", "inputs": inputs})


def named(_index: int, row: list[float]) -> bytes:
    """The same row as a JSON object, for LitServe."""
    return msgspec.json.encode({name: _number(value) for name, value in zip(NAMES, row, strict=True)})


def as_argument(index: int, row: list[float]) -> bytes:
    """The same for BentoML, which takes its arguments by name."""
    return b'{"row":' + named(index, row) + b"}"

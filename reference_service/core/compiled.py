"""A model compiled against its contract and its training data: what `compiled.npz` holds and the kernel runs."""

from __future__ import annotations

import io
from dataclasses import dataclass, fields

import numpy as np

from reference_service.core.binning import MAX_CUTS, N_CODES, Bins, compile_bins
from reference_service.core.cells import N_CELLS, cell_map, quantile_cuts
from reference_service.core.forest import Forest, check_forest, compile_forest
from reference_service.core.trees import Model


@dataclass(frozen=True, slots=True)
class Compiled:
    """Cuts, forest and cells of one bundle."""

    bins: Bins
    forest: Forest
    cells: np.ndarray  # uint8[f, 256], of `cell_map`


def compile_model(model: Model, n_categories: np.ndarray, values: np.ndarray) -> Compiled:
    """Compile a model for scoring and monitoring.

    Args:
        model: The parsed forest.
        n_categories: int64[f], 0 for a number.
        values: float64[n, f], the training window, from which the quantile cells come. Categories are ordinals.

    Raises:
        TooManyCuts: A feature needs more than one byte can tell apart.
    """
    quantiles = np.array([quantile_cuts(values[:, j]) for j in range(values.shape[1])])
    bins = compile_bins(model, n_categories, quantiles)
    counts = [_category_counts(values[:, j], int(k)) if k else None for j, k in enumerate(n_categories)]
    return Compiled(bins=bins, forest=compile_forest(model, bins), cells=cell_map(bins, quantiles, counts))


def to_bytes(compiled: Compiled) -> bytes:
    """The compiled model as an .npz without pickles; equal models give equal bytes."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **_arrays(compiled))
    return buffer.getvalue()


def from_bytes(data: bytes, n_features: int) -> Compiled:
    """Read what `to_bytes` wrote.

    Raises:
        ValueError: Not such a file, or its arrays do not fit one another: the kernel does not check indices, so
            nothing may reach it that does not fit.
    """
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    try:
        compiled = Compiled(
            bins=Bins(**{field.name: arrays[field.name] for field in fields(Bins)}),
            forest=Forest(**{field.name: arrays[field.name] for field in fields(Forest)}),
            cells=arrays["cells"],
        )
    except KeyError as error:
        raise ValueError(f"the compiled model has no array {error}") from error
    f = n_features
    expected = {
        "cuts": ((f, N_CODES), np.float64),
        "n_cuts": ((f,), np.int64),
        "low": ((f,), np.float64),
        "high": ((f,), np.float64),
        "cells": ((f, N_CODES), np.uint8),
    }
    for name, (shape, dtype) in expected.items():
        if arrays[name].shape != shape or arrays[name].dtype != dtype:
            raise ValueError(f"array {name} is {arrays[name].dtype}{arrays[name].shape}, expected {shape} of {dtype}")
    n_cuts = compiled.bins.n_cuts
    if n_cuts.min() < 0 or n_cuts.max() > MAX_CUTS or compiled.cells.max() >= N_CELLS:
        raise ValueError("the compiled model refers to cuts or cells that it does not have")
    check_forest(compiled.forest, f)
    return compiled


def _arrays(compiled: Compiled) -> dict[str, np.ndarray]:
    parts = (compiled.bins, compiled.forest)
    return {field.name: getattr(part, field.name) for part in parts for field in fields(part)} | {
        "cells": compiled.cells
    }


def _category_counts(values: np.ndarray, k: int) -> np.ndarray:
    """int64[k]; null and unseen are not categories."""
    known = values[(values >= 0) & (values < k)]
    return np.bincount(known.astype(np.int64), minlength=k)

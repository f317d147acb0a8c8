"""Train a forest that the core can compile: threshold splits only, one thread, one seed, the same text every time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import lightgbm
import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What distinguishes one model version from another."""

    seed: int
    trees: int = 100
    leaves: int = 31
    learning_rate: float = 0.08
    min_rows_in_leaf: int = 200
    max_bin: int = 200  # and thus thresholds to a feature, which leaves room for the monitors' cuts in one byte


def train(
    recipe: Recipe, names: Sequence[str], values: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> lightgbm.Booster:
    """A binary classifier.

    Args:
        recipe: Its settings.
        names: f feature names, which the model keeps.
        values: float64[n, f] of `features.for_model`: ordinals of categories are numbers like any other.
        labels: n labels, 0 or 1.
        weights: float64[n], how much each row's loss counts; None: all alike. `min_rows_in_leaf` is of rows.
    """
    parameters = {
        "objective": "binary",
        "num_leaves": recipe.leaves,
        "learning_rate": recipe.learning_rate,
        "min_data_in_leaf": recipe.min_rows_in_leaf,
        "max_bin": recipe.max_bin,
        "feature_fraction": 0.8,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "seed": recipe.seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbose": -1,
    }
    data = lightgbm.Dataset(values, labels, weight=weights, feature_name=list(names), params=parameters)
    return lightgbm.train(parameters, data, num_boost_round=recipe.trees)

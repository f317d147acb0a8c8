"""One small forest of every kind that LightGBM can make of threshold trees, trained once."""

from __future__ import annotations

from dataclasses import dataclass

import lightgbm
import numpy as np
import pytest

from reference_service.core import kernel
from reference_service.core.compiled import Compiled, compile_model
from reference_service.core.trees import Model, parse

N_CATEGORIES = np.array([0, 0, 0, 6, 0, 0])
NAMES = ("plain", "gappy", "mostly_zero", "category", "tiny", "coarse")

KINDS = {
    "binary": {"objective": "binary"},
    "ignores_missing": {"objective": "binary", "use_missing": False},
    "zero_is_missing": {"objective": "binary", "zero_as_missing": True},
    "big_trees": {"objective": "regression", "num_leaves": 150, "min_data_in_leaf": 3},
    "dart": {"objective": "binary", "boosting": "dart", "drop_rate": 0.5},
    "random_splits": {"objective": "huber", "extra_trees": True, "num_leaves": 33},
    "monotone": {"objective": "binary", "monotone_constraints": [1, -1, 0, 0, 1, -1]},
    "weighted_classes": {"objective": "binary", "sigmoid": 0.7, "scale_pos_weight": 5.0, "num_leaves": 4},
}


@dataclass(frozen=True)
class Trained:
    booster: lightgbm.Booster
    model: Model
    compiled: Compiled
    arena: np.ndarray
    values: np.ndarray
    labels: np.ndarray

    def margins(self, values):
        """Ours, through codes."""
        codes = np.empty(values.shape, np.uint8)
        kernel.codes_rows(self.arena, values, codes)
        margins = np.empty(len(values))
        kernel.margin_rows(self.arena, codes, margins)
        return margins

    def one_by_one(self, values):
        """Ours, by the call that scores a single row."""
        return np.array([kernel.score(self.arena, row) for row in values])

    def oracle(self, values):
        """LightGBM's."""
        return np.asarray(self.booster.predict(values, raw_score=True, num_threads=1))


def make_data(n=3000, seed=7):
    rng = np.random.default_rng(seed)
    values = np.column_stack(
        [
            rng.normal(size=n) * 100,
            np.where(rng.random(n) < 0.4, np.nan, rng.exponential(size=n)),
            np.where(rng.random(n) < 0.6, 0.0, rng.normal(size=n)),
            rng.integers(0, 6, n).astype(float),
            rng.normal(size=n) * 1e-35,  # on both sides of what LightGBM calls zero
            rng.integers(-3, 4, n).astype(float),
        ]
    )
    signal = values[:, 0] / 100 + np.where(np.isnan(values[:, 1]), 1.5, -values[:, 1]) + (values[:, 3] == 4) * 2
    signal += np.abs(values[:, 2]) * 2 + (values[:, 2] == 0) + np.sign(values[:, 4]) * 0.5 + values[:, 5] ** 2 / 4
    labels = (signal + rng.normal(size=n) > 2).astype(float)
    values[rng.random(n) < 0.05, 5] = np.nan
    return values, labels


def train(parameters, values, labels, rounds=25):
    settings = {"num_leaves": 15, "max_bin": 100, "min_data_in_leaf": 10, "min_data_in_bin": 1}
    settings |= {"num_threads": 1, "deterministic": True, "force_row_wise": True, "seed": 3, "verbose": -1}
    settings |= parameters
    data = lightgbm.Dataset(values, labels, feature_name=list(NAMES), params=settings)
    return lightgbm.train(settings, data, num_boost_round=rounds)


def compiled_from(booster, values, labels):
    model = parse(booster.model_to_string())
    compiled = compile_model(model, N_CATEGORIES, values)
    arena = kernel.build_arena(compiled.bins, compiled.forest, compiled.cells)
    return Trained(booster, model, compiled, arena, values, labels)


@pytest.fixture(scope="session")
def forests() -> dict[str, Trained]:
    values, labels = make_data()
    made = {kind: compiled_from(train(settings, values, labels), values, labels) for kind, settings in KINDS.items()}
    constant = np.ones(len(labels)) * 0.25
    whole = np.nan_to_num(values)
    made["no_null_seen"] = compiled_from(train({"objective": "binary"}, whole, labels), values, labels)
    made["no_split"] = compiled_from(train({"objective": "regression"}, values, constant), values, labels)
    return made


@pytest.fixture(scope="session")
def two_thousand_trees() -> Trained:
    values, labels = make_data(1000)
    parameters = {"objective": "binary", "num_leaves": 31, "learning_rate": 0.02, "min_data_in_leaf": 5}
    return compiled_from(train(parameters, values, labels, 2000), values, labels)


@pytest.fixture(scope="session")
def binary(forests) -> Trained:
    return forests["binary"]

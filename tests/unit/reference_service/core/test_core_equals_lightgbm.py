"""The core's one promise: LightGBM's raw margin, bit for bit, wherever a value may lie."""

from __future__ import annotations

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_service.core.binning import UNSEEN
from reference_service.core.trees import ZERO

KINDS = [
    "binary",
    "ignores_missing",
    "zero_is_missing",
    "big_trees",
    "dart",
    "monotone",
    "no_null_seen",
    "random_splits",
    "weighted_classes",
    "no_split",
]
AWKWARD = [np.nan, 0.0, -0.0, ZERO, -ZERO, np.nextafter(ZERO, 1), np.nextafter(-ZERO, -1), np.nextafter(ZERO, 0)]
AWKWARD += [np.nextafter(-ZERO, 0), 5e-324, -5e-324, np.inf, -np.inf, 1e308, -1e308, 1e300, np.nextafter(1e300, np.inf)]


def same_bits(ours, theirs):
    return np.array_equal(ours.view(np.int64), theirs.view(np.int64))


def neighbourhoods(model, feature):
    """Every threshold of a feature, met and missed by the last bit, and the values that are special."""
    thresholds = np.array(sorted({n.threshold for t in model.trees for n in t.nodes if n.feature == feature}))
    around = [np.nextafter(thresholds, -np.inf), thresholds, np.nextafter(thresholds, np.inf)]
    return np.concatenate([*around, AWKWARD])


@pytest.mark.parametrize("kind", KINDS)
def test_training_rows_score_as_lightgbm_scores_them(forests, kind):
    forest = forests[kind]
    assert same_bits(forest.margins(forest.values), forest.oracle(forest.values))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("feature", [0, 1, 2, 4, 5])
def test_no_bit_is_lost_around_any_threshold(forests, kind, feature):
    forest = forests[kind]
    points = neighbourhoods(forest.model, feature)
    rows = forest.values[np.arange(len(points)) % len(forest.values)].copy()
    rows[:, feature] = points
    assert same_bits(forest.margins(rows), forest.oracle(rows))
    assert same_bits(forest.one_by_one(rows), forest.oracle(rows))


@pytest.mark.parametrize("kind", KINDS)
def test_every_category_and_null_scores_as_lightgbm_scores_them(forests, kind):
    forest = forests[kind]
    rows = np.repeat(forest.values[:50], 7, axis=0)
    rows[:, 3] = np.tile([0, 1, 2, 3, 4, 5, np.nan], 50)
    assert same_bits(forest.margins(rows), forest.oracle(rows))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("unseen", [UNSEEN, 6.0, 1e9, -np.inf])
def test_an_unseen_category_scores_as_null(forests, kind, unseen):
    forest = forests[kind]
    rows, as_null = forest.values[:200].copy(), forest.values[:200].copy()
    rows[:, 3], as_null[:, 3] = unseen, np.nan
    assert same_bits(forest.margins(rows), forest.oracle(as_null))


def test_the_model_on_disk_and_the_model_in_memory_are_both_equalled(binary):
    again = lightgbm.Booster(model_str=binary.booster.model_to_string())
    assert same_bits(binary.margins(binary.values), again.predict(binary.values, raw_score=True, num_threads=1))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_random_rows_score_as_lightgbm_scores_them(forests, data):
    forest = forests[data.draw(st.sampled_from(KINDS))]
    anything = st.one_of(st.floats(), st.sampled_from(AWKWARD), st.floats(-3, 3), st.floats(-1e-34, 1e-34))
    category = st.sampled_from([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, np.nan])
    row = st.tuples(anything, anything, anything, category, anything, anything)
    rows = np.array(data.draw(st.lists(row, min_size=1, max_size=20)))
    assert same_bits(forest.margins(rows), forest.oracle(rows))


def test_two_thousand_trees_score_as_lightgbm_scores_them(two_thousand_trees):
    forest = two_thousand_trees
    assert sum(len(tree.leaves) for tree in forest.model.trees) > 20_000
    points = neighbourhoods(forest.model, 0)
    rows = forest.values[np.arange(len(points)) % len(forest.values)].copy()
    rows[:, 0] = points
    assert same_bits(forest.margins(rows), forest.oracle(rows))
    assert same_bits(forest.one_by_one(rows), forest.oracle(rows))


def test_the_comparison_can_fail(binary):
    rows = binary.values.copy()
    rows[:, 0] = -rows[:, 0]
    assert not same_bits(binary.margins(rows), binary.oracle(binary.values))

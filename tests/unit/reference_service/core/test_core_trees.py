from __future__ import annotations

import lightgbm
import numpy as np
import pytest

from reference_service.core.trees import ZERO, ModelError, Node, goes_right, parse


def node(missing, *, default_left, threshold=0.5):
    return Node(feature=0, threshold=threshold, missing=missing, default_left=default_left, left=-1, right=-2)


@pytest.mark.parametrize(
    ("missing", "default_left", "expected"),
    [
        ("none", True, [False, False, True, False, False]),
        ("none", False, [False, False, True, False, False]),  # NaN is stored as 0, the default is not asked
        ("nan", True, [False, False, True, False, False]),
        ("nan", False, [False, False, True, True, False]),
        ("zero", True, [False, False, True, False, False]),
        ("zero", False, [False, True, True, True, True]),  # zero, NaN and whatever is stored as zero
    ],
)
def test_a_node_decides_by_its_missing_type(missing, default_left, expected):
    values = np.array([0.5, 0.0, np.nextafter(0.5, 1), np.nan, -ZERO])
    assert goes_right(node(missing, default_left=default_left), values).tolist() == expected


def test_the_text_is_read_in_full(binary):
    model = binary.model
    assert model.features == ("plain", "gappy", "mostly_zero", "category", "tiny", "coarse")
    assert model.sigmoid == 1.0
    assert len(model.trees) == 25
    assert all(len(tree.leaves) == len(tree.nodes) + 1 for tree in model.trees)


def test_the_slope_of_the_link_is_the_objective_s(forests):
    assert forests["weighted_classes"].model.sigmoid == 0.7


def text_of(settings, values, labels):
    settings = {"num_leaves": 4, "num_threads": 1, "verbose": -1} | settings
    categorical = settings.pop("categorical_feature", "auto")
    data = lightgbm.Dataset(values, labels, params=settings, categorical_feature=categorical)
    return lightgbm.train(settings, data, 3).model_to_string()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"objective": "binary", "categorical_feature": [3]}, "categorical"),
        ({"objective": "regression", "linear_tree": True}, "linear"),
        ({"objective": "multiclass", "num_class": 2}, "one output"),
        ({"objective": "binary", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}, "averaged"),
    ],
)
def test_what_is_no_sum_of_threshold_trees_is_refused(binary, settings, said):
    with pytest.raises(ModelError, match=said):
        parse(text_of(settings, np.nan_to_num(binary.values), binary.labels))


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: "",
        lambda _: "tree\nnum_tree_per_iteration=1\n",
        lambda text: text.replace("\nend of trees", "\n"),
        lambda text: text.replace("feature_names=", "names="),
        lambda text: text.replace("feature_names=plain gappy mostly_zero category tiny", "feature_names="),
        lambda text: text.replace("num_leaves=15", "num_leaves=14", 1),
        lambda text: text.replace("left_child=", "left_child=1 ", 1),
        lambda text: text.replace("left_child=1 ", "left_child=0 ", 1),
        lambda text: text.replace("leaf_value=", "leaf_value=x", 1),
    ],
)
def test_a_damaged_text_is_refused_and_not_read_in_part(binary, damage):
    text = binary.booster.model_to_string()
    damaged = damage(text)
    assert damaged != text
    with pytest.raises(ModelError):
        parse(damaged)

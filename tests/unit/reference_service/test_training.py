from __future__ import annotations

import msgspec
import numpy as np
import pytest

from reference_service.bundle import UNSEEN
from reference_service.contract import Contract, Field
from reference_service.core.trees import parse
from reference_service.training import features
from reference_service.training.train import Recipe, train
from reference_service.training.validate import DAY_NS, DAY_ROWS, auc, errors_by_group, split_by_time, validate
from reference_service.training.weights import CLIP, representative

CONTRACT = Contract(
    model="m",
    version="v1",
    entity="who",
    fields=(
        Field(name="size", kind="number", on_alert="default"),
        Field(name="colour", kind="category", categories=("red", "green"), on_null="default"),
        Field(name="is_new", kind="boolean"),
        Field(name="count", kind="integer", on_null="default", default=7.0),
    ),
)
COLUMNS = {
    "size": np.array([3.0, np.nan, 1.0, 2.0]),
    "colour": np.array(["green", None, "blue", "green"], dtype=object),
    "is_new": np.array([1.0, 0.0, np.nan, 1.0]),
    "count": np.array([1.0, 2.0, 3.0, 4.0]),
    "ignored": np.zeros(4),
}


def test_columns_become_rows_in_the_order_of_the_contract():
    nan = np.nan
    expected = [[3.0, 1.0, 1.0, 1.0], [nan, nan, 0.0, 2.0], [1.0, UNSEEN, nan, 3.0], [2.0, 1.0, 1.0, 4.0]]
    assert np.array_equal(features.encode(CONTRACT, COLUMNS), expected, equal_nan=True)


def test_a_missing_column_is_an_error():
    with pytest.raises(KeyError, match="count"):
        features.encode(CONTRACT, {name: column for name, column in COLUMNS.items() if name != "count"})


def test_the_model_sees_an_unseen_category_as_null_and_a_number_as_itself():
    values = np.array([[-1.0, UNSEEN, 0.0, -1.0]])
    assert np.array_equal(features.for_model(CONTRACT, values), [[-1.0, np.nan, 0.0, -1.0]], equal_nan=True)


def test_typical_values_occurred():
    assert features.typical(CONTRACT, features.encode(CONTRACT, COLUMNS)).tolist() == [2.0, 1.0, 1.0, 2.0]


def test_only_defaults_that_are_needed_and_not_declared_are_filled_in():
    filled = features.with_defaults(CONTRACT, features.encode(CONTRACT, COLUMNS))
    assert [field.default for field in filled.fields] == [2.0, "green", None, 7.0]
    assert msgspec.structs.replace(filled, fields=CONTRACT.fields) == CONTRACT


def test_training_is_deterministic_and_the_seed_matters():
    rng = np.random.default_rng(2)
    values = rng.normal(size=(1000, 4))
    labels = (values[:, 0] + rng.normal(size=1000) > 0).astype(int)
    names = [field.name for field in CONTRACT.fields]

    def forest(seed):
        return parse(train(Recipe(seed=seed, trees=5), names, values, labels).model_to_string())

    assert forest(1) == forest(1)
    assert forest(1) != forest(2)


def test_held_out_rows_are_the_later_ones():
    event_ns = np.array([50, 10, 40, 20, 30])
    earlier, later = split_by_time(event_ns, held_out=0.4)
    assert sorted(event_ns[earlier].tolist()) == [10, 20, 30]
    assert sorted(event_ns[later].tolist()) == [40, 50]


def test_auc_is_the_share_of_pairs_in_order():
    rng = np.random.default_rng(4)
    labels, scores = rng.integers(0, 2, 60), rng.integers(0, 9, 60)  # with ties
    pairs = [(p > n) + 0.5 * (p == n) for p in scores[labels == 1] for n in scores[labels == 0]]
    assert auc(labels, scores) == pytest.approx(np.mean(pairs))


def test_auc_of_one_class_is_no_number():
    with pytest.raises(ValueError, match="positive and negative"):
        auc([1, 1], [0.1, 0.2])


def test_brier_is_the_mean_squared_error():
    report = validate(np.array([1, 0, 0, 1]), np.array([1.0, 0.0, 0.5, 0.0]), np.zeros(4, dtype=np.int64))
    assert report.brier == (0 + 0 + 0.25 + 1) / 4
    assert report.positive_rate == 0.5
    assert report.n == 4


def test_the_worst_day_is_a_day_with_enough_rows():
    good, bad, thin = np.full(DAY_ROWS, 0.1), np.full(DAY_ROWS, 0.9), np.full(DAY_ROWS - 1, 1.0)
    probabilities = np.concatenate([good, bad, thin])
    days = np.repeat([0, 1, 2], [len(good), len(bad), len(thin)])
    labels = np.zeros(len(days), dtype=np.int64)
    labels[0] = 1
    report = validate(labels, probabilities, days * DAY_NS)
    assert report.worst_day_brier == pytest.approx(0.81)


def test_errors_are_counted_by_group_and_by_what_was_true():
    groups, labels = ["a", "a", "b", "", "a", "b"], np.array([0, 1, 0, 0, 0, 1])
    approved = np.array([True, True, False, False, False, False])
    assert errors_by_group(groups, labels, approved) == {"a": [[1, 2], [1, 1]], "b": [[1, 1], [0, 1]]}


def test_how_far_an_area_moves_over_time_is_known_where_each_tenth_has_both_outcomes():
    draw, n = np.random.default_rng(3), 4000
    labels, at = draw.integers(0, 2, n), np.arange(n)
    scores = np.clip(0.3 * labels + draw.random(n), 0, 1)
    errors = [validate(labels, scores, at).auc_error, validate(labels, np.roll(scores, 1), at).auc_error]
    assert all(0.002 < error < 0.02 for error in errors)  # of 4,000 by Hanley and McNeil .008
    drifting = np.where(at < n / 2, scores, draw.random(n))  # half of the time it knows nothing
    assert validate(labels, drifting, at).auc_error > 3 * errors[0]
    assert validate(np.array([0, 1] * 10), np.linspace(0, 1, 20), np.repeat([0, 1], 10)).auc_error < 1
    assert validate(np.array([1] + [0] * 29), np.linspace(0, 1, 30), np.arange(30)).auc_error == 1.0


def test_a_row_that_stands_for_several_counts_as_if_it_were_there_so_often():
    draw = np.random.default_rng(3)
    labels, scores, days = draw.integers(0, 2, 600), draw.integers(0, 40, 600) / 40, np.sort(draw.integers(0, 3, 600))
    times = np.where(draw.random(600) < 0.2, 5, 1)
    weighted = validate(labels, scores, days * DAY_NS, times.astype(float))
    repeated = validate(*(np.repeat(each, times) for each in (labels, scores, days * DAY_NS)))
    for name in ("auc", "brier", "worst_day_brier", "positive_rate"):
        assert getattr(weighted, name) == pytest.approx(getattr(repeated, name)), name
    everybody = np.quantile(np.repeat(scores, times), np.arange(1, 10) / 10, method="inverted_cdf")
    assert weighted.score_deciles.tolist() == everybody.tolist()
    assert weighted.n == 600
    groups = ["a", "b"] * 300
    (a, b), (c, d) = errors_by_group(groups, labels, scores < 0.5, times.astype(float))["a"]
    (e, f), (g, h) = errors_by_group(np.repeat(groups, times), *(np.repeat(x, times) for x in (labels, scores < 0.5)))[
        "a"
    ]
    assert (a / b, c / d) == pytest.approx((e / f, g / h), abs=0.01)
    assert b < ((np.array(groups) == "a") & (labels == 0)).sum() < f  # weighted rows are worth less than they are


def test_weights_have_a_clip_and_leave_out_what_is_stood_for_already():
    labels, refused = np.array([1, 0, 1, 0]), np.array([False, True, True, True])
    kept, counted = representative(labels, refused, np.array([1.0, 1.0, 0.1, 0.001]))
    assert (kept.tolist(), counted.tolist()) == ([1, -1, 1, 0], [1, 1, 10, CLIP])
    for propensity, known in (
        (None, labels),
        (np.ones(4), labels),
        (np.array([1, 0.1, 1, 1]), np.array([1, -1, 1, 0])),
    ):
        kept, counted = representative(known, refused, propensity)
        assert counted is None
        assert kept is known

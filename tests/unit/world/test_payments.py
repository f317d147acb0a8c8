from __future__ import annotations

import numpy as np
import pytest

from simulator.world.keyed import Draw
from simulator.world.population import Population, Recorded
from simulator.world.populations import get, payments, payments_fraud, training


@pytest.fixture(scope="module")
def trained():
    return training("payments")


def auc(score, label):
    order = np.argsort(score, kind="stable")
    rank = np.empty(len(score))
    rank[order] = np.arange(1, len(score) + 1)
    ones = int(label.sum())
    return (rank[label == 1].sum() - ones * (ones + 1) / 2) / (ones * (len(label) - ones))


def test_unknown_populations_are_named():
    with pytest.raises(ValueError, match="no population 'payment'; there are flights, payments"):
        get("payment")
    with pytest.raises(ValueError, match="no population 'x'"):
        training("x")


def test_it_is_a_population_and_not_a_recorded_one():
    population: Population = get("payments")
    assert not isinstance(population, Recorded)
    assert population.fields[0].name == "customer_id"
    assert len(population.fields) >= 14


def test_columns_are_as_the_fields_declare(trained):
    rows, _ = trained
    assert tuple(rows.sent) == tuple(field.name for field in payments.FIELDS)
    for field in payments.FIELDS:
        column = rows.sent[field.name]
        if field.kind == "category":
            assert set(column.tolist()) == set(field.categories)
            continue
        assert column.dtype == np.float64
        known = column[~np.isnan(column)]
        assert known.min() >= field.minimum
        assert known.max() <= field.maximum
        if field.kind == "integer":
            assert (known == np.rint(known)).all()
        if field.kind == "boolean":
            assert set(known.tolist()) == {0.0, 1.0}


def test_declared_spreads_are_the_standard_deviations(trained):
    rows, _ = trained
    for field in payments.FIELDS:
        if field.spread:
            assert np.nanstd(rows.sent[field.name]) == pytest.approx(field.spread, rel=0.05), field.name


def test_only_the_named_fields_have_nulls(trained):
    rows, _ = trained
    for name, column in rows.sent.items():
        if column.dtype == object:
            assert None not in column.tolist()
        else:
            assert np.isnan(column).mean() == pytest.approx(payments.NULLS.get(name, 0.0), abs=0.003), name


def test_about_one_payment_in_twenty_is_a_fraud_and_the_features_tell(trained):
    rows, truth = trained
    assert 0.04 < truth.label.mean() < 0.06
    assert 0.8 < auc(payments_fraud.probability(rows), truth.label) < 0.95


def test_every_named_effect_moves_the_probability(trained):
    rows, _ = trained
    for name, effect in payments_fraud.EFFECTS.items():
        values = effect(rows)
        assert values.shape == rows.event_ns.shape, name
        assert np.isfinite(values).all(), name
        assert np.ptp(values) > 0.3, name


def test_probabilities_are_calibrated(trained):
    rows, truth = trained
    chance = payments_fraud.probability(rows)
    for low, high in [(0, 0.02), (0.02, 0.1), (0.1, 0.4), (0.4, 1)]:
        inside = (chance >= low) & (chance < high)
        assert truth.label[inside].mean() == pytest.approx(chance[inside].mean(), rel=0.15)


def test_rows_drawn_alone_equal_rows_drawn_in_a_block():
    population, draw = get("payments"), Draw(11, "main")
    index = np.arange(500, 600)
    block = population.rows(draw, index, index * 7)
    truths = population.truth(draw, index, block)
    for i in (0, 57, 99):
        one = population.rows(draw, index[i : i + 1], index[i : i + 1] * 7)
        assert population.truth(draw, index[i : i + 1], one).label[0] == truths.label[i]
        for whole, alone in ((block.sent, one.sent), (block.latent, one.latent)):
            for name in whole:
                np.testing.assert_array_equal(whole[name][i : i + 1], alone[name], err_msg=name)


def test_history_comes_from_the_feature_store(trained):
    rows, _ = trained
    store = payments.customers()
    assert {len(column) for column in store.values()} == {payments.CUSTOMERS}
    who = rows.sent["customer_id"].astype(int)
    np.testing.assert_array_equal(who, rows.entity)
    for name, column in rows.latent.items():
        np.testing.assert_array_equal(column, store[name][who], err_msg=name)


def test_the_store_is_nobodys_to_change():
    with pytest.raises(ValueError, match="read-only"):
        payments.customers()["tenure_days"][0] = 1.0


def test_a_drifted_amount_changes_the_truth():
    population, draw, index = get("payments"), Draw(11, "main"), np.arange(20_000)
    rows = population.rows(draw, index, index)
    before = population.truth(draw, index, rows).label.mean()
    rows.sent["amount"] = rows.sent["amount"] + 200.0
    assert population.truth(draw, index, rows).label.mean() > before + 0.02


def test_frauds_are_reported_within_days_and_the_rest_clears_in_a_month(trained):
    _, truth = trained
    days = truth.label_after_ns / 86_400e9
    assert np.median(days[truth.label == 1]) == pytest.approx(2**0.6, rel=0.05)
    assert set(days[truth.label == 0].tolist()) == {30.0}

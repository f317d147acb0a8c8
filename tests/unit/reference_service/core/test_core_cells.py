from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_service.core import kernel
from reference_service.core.binning import NULL_CODE, UNSEEN, UNSEEN_CODE
from reference_service.core.cells import N_CELLS, NULL_CELL, QUANTILES, UNSEEN_CELL, psi, quantile_cuts


def counts_of(trained, values):
    counts = np.zeros((values.shape[1], N_CELLS), np.int64)
    kernel.count_rows(trained.arena, values, counts)
    return counts


def test_levels_are_two_tails_and_ten_equal_cells():
    assert QUANTILES[[0, -1]].tolist() == [0.01, 0.99]
    assert np.allclose(np.diff(QUANTILES), 0.098)


def test_training_fills_the_cells_of_a_number_as_their_levels_say(binary):
    counts = counts_of(binary, binary.values)
    shares = counts[0] / counts[0].sum()
    assert np.allclose(shares[:12], [0.01, *[0.098] * 10, 0.01], atol=1e-3)


def test_every_row_is_counted_once_for_every_feature(binary):
    assert (counts_of(binary, binary.values).sum(axis=1) == len(binary.values)).all()


def test_null_and_unseen_have_cells_of_their_own(binary):
    cells = binary.compiled.cells
    assert (cells[:, NULL_CODE] == NULL_CELL).all()
    assert (cells[:, UNSEEN_CODE] == UNSEEN_CELL).all()
    row = np.full((1, 6), np.nan)
    row[0, 3] = UNSEEN
    counts = counts_of(binary, row)
    assert counts[:, NULL_CELL].tolist() == [1, 1, 1, 0, 1, 1]
    assert counts[:, UNSEEN_CELL].tolist() == [0, 0, 0, 1, 0, 0]


@pytest.mark.parametrize("count", [0, 1, 7, 8, 256, 257, 700])
def test_any_number_of_rows_is_counted_by_the_cells_of_its_codes(binary, count):
    values = binary.values[:count]
    codes = np.empty(values.shape, np.uint8)
    kernel.codes_rows(binary.arena, values, codes)
    cells = kernel.cells_of(binary.arena)
    assert cells.tolist() == binary.compiled.cells.tolist()
    expected = [np.bincount(cells[j, codes[:, j]], minlength=N_CELLS).tolist() for j in range(values.shape[1])]
    assert counts_of(binary, values).tolist() == expected


def test_cells_of_a_number_rise_with_its_codes(binary):
    for j in (0, 1, 2, 4, 5):
        of_intervals = binary.compiled.cells[j, : binary.compiled.bins.n_cuts[j] + 1].astype(int)
        assert (np.diff(of_intervals) >= 0).all()
        assert of_intervals[-1] == 11


def test_counting_a_code_is_counting_its_value(binary):
    cuts = quantile_cuts(binary.values[:, 0])
    by_value = np.bincount(np.searchsorted(cuts, binary.values[:, 0], side="left"), minlength=12)
    assert counts_of(binary, binary.values)[0, :12].tolist() == by_value.tolist()


def test_a_feature_that_is_always_null_has_no_quantiles():
    assert np.isinf(quantile_cuts(np.full(5, np.nan))).all()


def test_psi_of_the_reference_itself_is_nothing():
    counts = np.array([10, 0, 500, 30, 460])
    assert psi(counts / 1000, 1000, counts) == 0.0


def test_psi_is_the_textbook_s_where_no_cell_is_empty():
    reference, current = np.array([0.5, 0.3, 0.2]), np.array([300_000, 400_000, 300_000])
    shares = current / current.sum()
    expected = ((shares - reference) * np.log(shares / reference)).sum()
    assert psi(reference, 1_000_000, current) == pytest.approx(expected, rel=1e-5)


def test_cells_that_are_empty_on_both_sides_change_nothing():
    reference, current = np.array([0.5, 0.3, 0.2]), np.array([30, 40, 30])
    padded = psi(np.append(reference, [0, 0]), 5000, np.append(current, [0, 0]))
    assert padded == psi(reference, 5000, current)


def test_a_cell_that_fills_for_the_first_time_counts_and_stays_finite():
    reference = np.array([0.5, 0.5, 0.0])
    assert 0.5 < psi(reference, 5000, np.array([400, 400, 200])) < 5.0


def test_psi_of_nothing_is_nothing():
    assert psi(np.full((2, 3), 1 / 3), 1000, np.zeros((2, 3), np.int64)).tolist() == [0.0, 0.0]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=2, max_size=14))
def test_psi_is_never_negative_and_symmetric(pairs):
    reference, current = np.array(pairs).T
    if reference.sum() and current.sum():
        there = psi(reference / reference.sum(), reference.sum(), current)
        back = psi(current / current.sum(), current.sum(), reference)
        assert there >= 0
        assert there == pytest.approx(back, abs=1e-9)


@pytest.mark.parametrize("n", [1000, 20_000])
def test_without_drift_psi_is_about_chi_square(n):
    rng = np.random.default_rng(5)
    reference = np.append(0.01, np.append(np.full(10, 0.098), 0.01))
    found = [
        psi(rng.multinomial(50_000, reference) / 50_000, 50_000, rng.multinomial(n, reference)) for _ in range(400)
    ]
    assert np.mean(found) == pytest.approx((1 / n + 1 / 50_000) * 11, rel=0.1)


@pytest.mark.parametrize("count", [1, 7, 300])
def test_means_over_fields_are_added_field_after_field_whatever_the_number_of_rows(binary, count):
    values = binary.values[:count]
    table = np.random.default_rng(3).random(values.shape[1] * 256)
    codes = np.empty(values.shape, np.uint8)
    kernel.codes_rows(binary.arena, values, codes)
    expected = np.zeros(count)
    for field in range(values.shape[1]):
        expected += table[field * 256 + codes[:, field].astype(int)]
    means = np.empty(count)
    kernel.mean_rows(binary.arena, values, table, means)
    assert means.tolist() == (expected / values.shape[1]).tolist()


def test_means_of_what_does_not_fit_are_refused(binary):
    with pytest.raises(ValueError, match="one column"):
        kernel.mean_rows(binary.arena, binary.values[:2], np.zeros(256), np.empty(2))

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_service.core import kernel
from reference_service.core.binning import (
    MAX_CUTS,
    NULL_CODE,
    UNSEEN,
    UNSEEN_CODE,
    TooManyCuts,
    compile_bins,
    representatives,
)
from reference_service.core.trees import Model, Node, Tree

NO_QUANTILES = np.empty((1, 0))


def stumps(thresholds, missing="nan"):
    """A model of one feature that splits once at each threshold."""
    trees = tuple(
        Tree((Node(feature=0, threshold=t, missing=missing, default_left=True, left=-1, right=-2),), (-1.0, 1.0))
        for t in thresholds
    )
    return Model(features=("x",), objective="regression", sigmoid=1.0, trees=trees)


def codes_of(trained, values):
    codes = np.empty(values.shape, np.uint8)
    kernel.codes_rows(trained.arena, values, codes)
    return codes


def test_a_code_is_the_number_of_cuts_below_the_value(binary):
    bins = binary.compiled.bins
    codes = codes_of(binary, binary.values)
    for j in (0, 1, 2, 4, 5):
        known = ~np.isnan(binary.values[:, j])
        own = bins.cuts[j, : bins.n_cuts[j]]
        assert np.array_equal(codes[known, j], np.searchsorted(own, binary.values[known, j], side="left"))
        assert (codes[~known, j] == NULL_CODE).all()


@pytest.mark.parametrize(
    ("value", "code"), [(0, 0), (5, 5), (6, UNSEEN_CODE), (UNSEEN, UNSEEN_CODE), (-0.0, 0), (np.nan, NULL_CODE)]
)
def test_a_category_is_its_own_code(binary, value, code):
    row = binary.values[:1].copy()
    row[0, 3] = value
    assert codes_of(binary, row)[0, 3] == code


@settings(max_examples=100, deadline=None)
@given(value=st.floats(allow_nan=False), feature=st.sampled_from([0, 1, 2, 4, 5]))
def test_a_representative_has_the_code_that_it_represents(binary, value, feature):
    rows = np.zeros((2, 6))
    rows[0, feature] = value
    code = codes_of(binary, rows)[0, feature]
    rows[1, feature] = representatives(binary.compiled.bins, feature)[code]
    assert codes_of(binary, rows)[1, feature] == code
    assert rows[1, feature] >= value


def test_a_full_byte_is_accepted():
    bins = compile_bins(stumps(np.arange(1.0, MAX_CUTS + 1)), np.array([0]), NO_QUANTILES)
    assert bins.n_cuts.tolist() == [MAX_CUTS]


def test_one_cut_more_is_refused_with_the_reason():
    with pytest.raises(TooManyCuts, match=r"'x' needs 254 cuts \(254 split thresholds and 0 quantiles\).*253.*max_bin"):
        compile_bins(stumps(np.arange(1.0, MAX_CUTS + 2)), np.array([0]), NO_QUANTILES)


def test_quantiles_share_the_budget():
    thresholds = np.arange(1.0, MAX_CUTS)
    compile_bins(stumps(thresholds), np.array([0]), np.array([[0.5, 7.0, np.inf]]))  # 7 is a threshold, inf is none
    with pytest.raises(TooManyCuts, match="252 split thresholds and 2 quantiles"):
        compile_bins(stumps(thresholds), np.array([0]), np.array([[0.5, 1.5]]))


def test_too_many_categories_are_refused():
    compile_bins(stumps([0.5]), np.array([254]), NO_QUANTILES)
    with pytest.raises(TooManyCuts, match="255 categories"):
        compile_bins(stumps([0.5]), np.array([255]), NO_QUANTILES)


def test_only_forests_that_care_about_zero_pay_for_its_zone():
    assert compile_bins(stumps([1.0]), np.array([0]), NO_QUANTILES).n_cuts.tolist() == [1]
    assert compile_bins(stumps([1.0], "zero"), np.array([0]), NO_QUANTILES).n_cuts.tolist() == [3]
    assert compile_bins(stumps([1.0, 0.0, 1e-36]), np.array([0]), NO_QUANTILES).n_cuts.tolist() == [3]


def test_where_numba_cannot_keep_a_cache_kernels_are_compiled_all_the_same(monkeypatch):
    from numba import types
    from numba.core import caching

    monkeypatch.setattr(caching.CompileResultCacheImpl, "_locator_classes", [])
    twice = kernel.entry(types.int64(types.int64))(lambda x: 2 * x)
    assert twice(21) == 42

"""What the monitors count: a fixed map from the 256 codes of a feature to 14 cells.

A number has ten quantile cells and a 1 % tail at either end; a category gives a cell to each of its eleven most
common values and one to all others. Null and unseen have a cell each. Drift over the fine codes would be noise.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from reference_service.core.binning import N_CODES, NULL_CODE, UNSEEN_CODE, Bins

N_CELLS: Final = 14
N_VALUE_CELLS: Final = 12
NULL_CELL: Final = 12
UNSEEN_CELL: Final = 13
TAIL: Final = 0.01

QUANTILES: Final = np.concatenate([[TAIL], TAIL + (1 - 2 * TAIL) * np.arange(1, 10) / 10, [1 - TAIL]])
"""float64[11]: the levels between the twelve value cells of a number."""


def quantile_cuts(values: np.ndarray) -> np.ndarray:
    """float64[11]: the observed values at `QUANTILES`, of float64[n] with NaN left out; all +inf if none is left.

    Values that were observed, not interpolations, so that ties stay on one side. Equal cuts leave a cell empty.
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return np.full(len(QUANTILES), np.inf)
    return np.asarray(np.quantile(known, QUANTILES, method="inverted_cdf"), dtype=np.float64)


def cell_map(bins: Bins, quantiles: np.ndarray, category_counts: list[np.ndarray | None]) -> np.ndarray:
    """uint8[f, 256]: the cell of every code.

    Args:
        bins: The compiled cuts of f features, among them the quantiles.
        quantiles: float64[f, 11] of `quantile_cuts`.
        category_counts: By feature, int64[k] of how often training saw each category; None for a number.
    """
    cells = np.empty((len(bins.n_cuts), N_CODES), dtype=np.uint8)
    for j, counts in enumerate(category_counts):
        if counts is None:
            cells[j] = np.searchsorted(quantiles[j], bins.cuts[j], side="left")  # by the upper end of each interval
        else:
            rank = np.empty(len(counts), dtype=np.int64)
            rank[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
            cells[j] = N_VALUE_CELLS - 1
            cells[j, : len(counts)] = np.minimum(rank, N_VALUE_CELLS - 1)
    cells[:, UNSEEN_CODE] = UNSEEN_CELL
    cells[:, NULL_CODE] = NULL_CELL
    return cells


def psi(reference: np.ndarray, n_reference: float, counts: np.ndarray) -> np.ndarray:
    """Population stability index of counts against a reference: sum of (p - q) ln(p / q) over the cells.

    Empty cells: a cell that is empty on both sides says nothing and is left out (both shares tend to 0, and so does
    its term). For the K cells that remain, shares are estimated with half an observation added to each cell on
    either side, (c + 1/2) / (n + K/2): Krichevsky and Trofimov, The performance of universal encoding, IEEE Trans.
    Inf. Theory 27 (1981), which is the posterior mean under Jeffreys' prior. It is finite always, the same at any
    scale of the data, and vanishes as n grows, unlike a floor chosen by hand.
    The index: Siddiqi, Credit Risk Scorecards (2006). With no drift it is about (1/n + 1/m) chi²(K - 1): Yurdakul,
    Statistical Properties of Population Stability Index (2018).

    Args:
        reference: float64[..., K] of shares.
        n_reference: How many rows the shares were taken from.
        counts: int64[..., K], the current window.

    Returns:
        float64[...]; 0 where the window or the reference is empty.
    """
    expected = reference * n_reference
    used = (expected > 0) | (counts > 0)
    half = 0.5 * used.sum(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):  # no cell used at all: 0 / 0, answered by 0 below
        p = np.where(used, (counts + 0.5) / (counts.sum(axis=-1, keepdims=True) + half), 1.0)
        q = np.where(used, (expected + 0.5) / (expected.sum(axis=-1, keepdims=True) + half), 1.0)
    index = np.where(used, (p - q) * np.log(p / q), 0.0).sum(axis=-1)
    return np.where((counts.sum(axis=-1) > 0) & (expected.sum(axis=-1) > 0), index, 0.0)

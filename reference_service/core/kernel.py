"""The hot path: one machine-code call bins a row, counts it and scores it.

A call from Python pays some 130 ns for every array that it passes, a tenth of what the whole row costs. So all
constants of a bundle lie in one array, the arena, and every entry point takes the arena and the row, nothing else.
All kernels are in this file because numba's cache notices changes in the file of the kernel only.
"""

# mypy: disallow-untyped-decorators=False
# (numba ships no types)

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from reference_service.core.binning import N_CODES, NULL_CODE, UNSEEN_CODE, Bins
from reference_service.core.cells import N_CELLS
from reference_service.core.forest import LINE, WORD, Forest

_HEADER: Final = 8  # int64: f, u, W, then where each part begins, counted in float64
_ONE: Final = np.uint64(1)

# Entry points are compiled for exactly these types: another type is a TypeError, not a second compilation.
_ARENA: Final = types.Array(types.float64, 1, "C", readonly=True)
_ROW_VALUES: Final = types.float64[::1]
_ROW_CODES: Final = types.uint8[::1]
_VALUES: Final = types.float64[:, ::1]
_CODES: Final = types.uint8[:, ::1]
_COUNTS: Final = types.int64[:, ::1]
_MARGINS: Final = types.float64[::1]


def build_arena(bins: Bins, forest: Forest, cells: np.ndarray) -> np.ndarray:
    """float64[...], read-only: header, cuts, low, high, used features, leaf sets, leaf values, cells.

    The leaf sets begin on a cache line. `cells` is uint8[f, 256] of `cell_map`.
    """
    f, (u, _, words) = len(bins.n_cuts), forest.leaf_sets.shape
    at_low = _HEADER + f * N_CODES
    at_used = at_low + 2 * f
    at_sets = -(-(at_used + u) // LINE) * LINE
    at_leaves = at_sets + u * N_CODES * words
    at_cells = at_leaves + words * WORD
    size = at_cells + f * N_CODES // 8

    memory = np.zeros(size + LINE)
    arena = memory[-(memory.ctypes.data // 8) % LINE :][:size]
    arena[:_HEADER].view(np.int64)[:] = (f, u, words, at_low, at_used, at_sets, at_leaves, at_cells)
    arena[_HEADER:at_low] = bins.cuts.ravel()
    arena[at_low : at_low + f] = bins.low
    arena[at_low + f : at_used] = bins.high
    arena[at_used : at_used + u].view(np.int64)[:] = forest.used
    arena[at_sets:at_leaves].view(np.uint64)[:] = forest.leaf_sets.ravel()
    arena[at_leaves:at_cells] = forest.leaf_values
    arena[at_cells:].view(np.uint8)[:] = cells.ravel()
    arena.flags.writeable = False
    return arena


def _emit_lowest_bit(_typing: Any, word: Any) -> Any:
    """The position of the lowest bit set in a uint64 that is not 0: one machine instruction."""

    def emit(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], context.get_constant(types.boolean, 1))

    return types.int64(word), emit


_lowest_bit: Any = intrinsic(_emit_lowest_bit)


@njit(cache=True)
def _codes_row(arena: Any, head: Any, values: Any, codes: Any) -> None:
    f, at_low = head[0], head[3]
    for j in range(f):
        x = values[j]
        at = _HEADER + j * N_CODES - 1
        code: Any = 0
        for step in (128, 64, 32, 16, 8, 4, 2, 1):  # unrolled; compares without branching
            code += step * np.int64(arena[at + code + step] < x)
        if x < arena[at_low + j] or x > arena[at_low + f + j]:
            code = UNSEEN_CODE
        codes[j] = code if x == x else NULL_CODE  # noqa: PLR0124 - NaN alone differs from itself


@njit(cache=True)
def _count_row(head: Any, cells: Any, codes: Any, counts: Any) -> None:
    at_cells = head[7] * 8
    for j in range(head[0]):
        counts[j, cells[at_cells + j * N_CODES + codes[j]]] += 1


@njit(cache=True)
def _margin_row(arena: Any, head: Any, bits: Any, codes: Any, left: Any) -> Any:
    """The sum of the leaves that no code rules out, from the lowest bit up; `left` is scratch, uint64[W]."""
    u, words, at_used, first = head[1], head[2], head[4], head[5]
    at = first + np.int64(codes[head[at_used]]) * words
    left[:] = bits[at : at + words]
    for k in range(1, u):
        at = first + (k * N_CODES + np.int64(codes[head[at_used + k]])) * words
        row = bits[at : at + words]
        for w in range(words):  # in vector registers
            left[w] &= row[w]
    margin = 0.0
    leaf = head[6]
    for w in range(words):
        rest = left[w]
        while rest:
            margin += arena[leaf + _lowest_bit(rest)]
            rest &= rest - _ONE
        leaf += WORD
    return margin


@njit(types.float64(_ARENA, _ROW_VALUES, _ROW_CODES, _COUNTS), cache=True)
def observe_and_score(arena: Any, values: Any, codes: Any, counts: Any) -> Any:
    """Write the codes of float64[f] values, add their cells to the counts and return the margin."""
    head, bits, cells = arena.view(np.int64), arena.view(np.uint64), arena.view(np.uint8)
    f = head[0]
    if len(values) != f or len(codes) != f or counts.shape != (f, N_CELLS):
        raise ValueError("values and codes must have one entry, counts one row of cells, for each feature")
    _codes_row(arena, head, values, codes)
    _count_row(head, cells, codes, counts)
    return _margin_row(arena, head, bits, codes, np.empty(head[2], np.uint64))


@njit(types.void(_ARENA, _VALUES, _CODES), cache=True)
def codes_rows(arena: Any, values: Any, codes: Any) -> None:
    """Write the uint8[n, f] codes of float64[n, f] values."""
    head = arena.view(np.int64)
    if values.shape != codes.shape or values.shape[1] != head[0]:
        raise ValueError("values and codes must have one column for each feature")
    for i in range(len(values)):
        _codes_row(arena, head, values[i], codes[i])


@njit(types.void(_ARENA, _CODES, _COUNTS), cache=True)
def count_rows(arena: Any, codes: Any, counts: Any) -> None:
    """Add the cells of uint8[n, f] codes to int64[f, 14] counts."""
    head, cells = arena.view(np.int64), arena.view(np.uint8)
    f = head[0]
    if codes.shape[1] != f or counts.shape != (f, N_CELLS):
        raise ValueError("codes must have one column, counts one row of cells, for each feature")
    for i in range(len(codes)):
        _count_row(head, cells, codes[i], counts)


@njit(types.void(_ARENA, _CODES, _MARGINS), cache=True)
def margin_rows(arena: Any, codes: Any, margins: Any) -> None:
    """Write the float64[n] margins of uint8[n, f] codes."""
    head, bits = arena.view(np.int64), arena.view(np.uint64)
    if codes.shape[1] != head[0] or len(margins) != len(codes):
        raise ValueError("codes must have one column for each feature, margins one entry for each row")
    left = np.empty(head[2], np.uint64)
    for i in range(len(codes)):
        margins[i] = _margin_row(arena, head, bits, codes[i], left)

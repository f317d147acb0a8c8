"""The hot path: one machine-code call bins a row and scores it; others do the same for many rows.

A call from Python pays some 130 ns for every array that it passes, a tenth of what the whole row costs. So all
constants of a bundle lie in one array, the arena, and every entry point takes the arena and the row, nothing else.
All kernels are in this file because numba's cache notices changes in the file of the kernel only.
"""

# mypy: disallow-untyped-decorators=False, disallow-untyped-calls=False
# (numba ships no types)

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from reference_service.core.binning import N_CODES, NULL_CODE, UNSEEN_CODE, Bins
from reference_service.core.cells import N_CELLS
from reference_service.core.forest import BLOCK, STRIDE, Forest

_HEADER: Final = 16  # int64: f, B, then where each part begins, counted in float64
_LINE: Final = 8  # float64 to a cache line
_ROWS: Final = 256  # rows taken through one block of the forest, or one feature's cuts, while those are in the cache
_FEW: Final = 8  # rows that are not worth taking by columns
_ONE: Final = np.uint64(1)
_STRIDE: Final = np.uint64(STRIDE)
_WORDS: Final = np.uint64(BLOCK)
_FULL: Final = np.uint64(N_CODES)

# Entry points are compiled for exactly these types: another type is a TypeError, not a second compilation.
_ARENA: Final = types.Array(types.float64, 1, "C", readonly=True)
_ROW_VALUES: Final = types.float64[::1]
_VALUES: Final = types.float64[:, ::1]
_CODES: Final = types.uint8[:, ::1]
_COUNTS: Final = types.int64[:, ::1]
_MARGINS: Final = types.float64[::1]
_READ_ONLY_VALUES: Final = types.Array(types.float64, 2, "C", readonly=True)


def entry(signature: Any) -> Callable[[Any], Any]:
    """Compiles a function for one signature when it is defined, or takes what an earlier process compiled.

    Numba refuses to define a cached function where no folder for its cache can be written: a read-only image without
    `NUMBA_CACHE_DIR` and without a home. Such a process compiles for itself, which is slow and not wrong.
    """

    def compile_now(function: Any) -> Any:
        try:
            return njit(signature, cache=True)(function)
        except RuntimeError as error:
            if "no locator available" not in str(error):
                raise
            return njit(signature)(function)

    return compile_now


def build_arena(bins: Bins, forest: Forest, cells: np.ndarray) -> np.ndarray:
    """float64[...], read-only: the header, then each part from the start of a cache line.

    `cells` is uint8[f, 256] of `cell_map`. The order of the parts is the order of the header's entries.
    """
    parts = [
        bins.cuts,
        bins.low,
        bins.high,
        np.array([int(n).bit_length() for n in bins.n_cuts]),  # steps that a search of them takes
        forest.starts,
        forest.features,
        forest.first,
        forest.pick,
        forest.leaf_sets,
        forest.leaf_values,
        cells,
    ]
    sizes = [-(-part.nbytes // (8 * _LINE)) * _LINE for part in parts]
    offsets = _HEADER + np.cumsum([0, *sizes])
    memory = np.zeros(offsets[-1] + _LINE)
    arena = memory[-(memory.ctypes.data // 8) % _LINE :][: offsets[-1]]
    header = [len(bins.n_cuts), len(forest.starts) - 1, *offsets[:-1]]
    arena[: len(header)].view(np.int64)[:] = header
    octets = arena.view(np.uint8)
    for part, offset in zip(parts, offsets, strict=False):
        octets[offset * 8 : offset * 8 + part.nbytes] = np.ascontiguousarray(part).view(np.uint8).ravel()
    arena.flags.writeable = False
    return arena


def cells_of(arena: np.ndarray) -> np.ndarray:
    """uint8[f, 256], read-only: the cells that `build_arena` was given."""
    head = arena[:_HEADER].view(np.int64)
    width, at = int(head[0]), int(head[12]) * 8
    return arena.view(np.uint8)[at : at + width * N_CODES].reshape(width, N_CODES)


def _emit_lowest_bit(_typing: Any, word: Any) -> Any:
    """The position of the lowest bit set in a uint64, 64 if there is none: one machine instruction."""

    def emit(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], context.get_constant(types.boolean, 0))

    return types.uint64(word), emit


def _emit_and_sets(_typing: Any, arena: Any, codes: Any, block: Any, left: Any) -> Any:
    """AND of the leaf sets that all tests of a block pick for a row's codes, written to uint64[BLOCK].

    The sets stay in vector registers from the first test to the last; numba by itself would go through memory.
    """
    signature = types.void(arena, codes, block, left)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word, octet = ir.IntType(64), ir.IntType(8)
        vector = ir.VectorType(word, 8)
        where = [
            context.make_array(signature.args[i])(context, builder, arguments[i]).data if i != 2 else None  # noqa: PLR2004 - the block is a number
            for i in range(4)
        ]
        words = builder.bitcast(where[0], word.as_pointer())
        octets = builder.bitcast(where[0], octet.as_pointer())

        def head(entry: int) -> Any:
            return builder.load(builder.gep(words, [word(entry)]))

        starts, features, first, pick, sets = (head(entry) for entry in range(6, 11))
        start = builder.load(builder.gep(words, [builder.add(starts, arguments[2])]))
        stop = builder.load(builder.gep(words, [builder.add(builder.add(starts, arguments[2]), word(1))]))
        pick, sets = builder.shl(pick, word(3)), builder.bitcast(builder.gep(words, [sets]), vector.as_pointer())
        width = BLOCK // 8
        left_over = [cgutils.alloca_once_value(builder, ir.Constant(vector, [-1] * 8)) for _ in range(width)]
        with cgutils.for_range_slice(builder, start, stop, word(1)) as (test, _):
            feature = builder.load(builder.gep(words, [builder.add(features, test)]))
            code = builder.zext(builder.load(builder.gep(where[1], [feature])), word)
            at = builder.add(pick, builder.add(builder.shl(test, word(8)), code))
            picked = builder.zext(builder.load(builder.gep(octets, [at])), word)
            own = builder.load(builder.gep(words, [builder.add(first, test)]))
            row = builder.mul(builder.add(own, picked), word(width))
            for k, kept in enumerate(left_over):
                here = builder.load(builder.gep(sets, [builder.add(row, word(k))]), align=8)
                builder.store(builder.and_(builder.load(kept), here), kept)
        result = builder.bitcast(where[3], vector.as_pointer())
        for k, kept in enumerate(left_over):
            builder.store(builder.load(kept), builder.gep(result, [word(k)]), align=8)
        return context.get_dummy_value()

    return signature, emit


_lowest_bit: Any = intrinsic(_emit_lowest_bit)
_and_sets: Any = intrinsic(_emit_and_sets)


@njit
def _codes_row(arena: Any, head: Any, values: Any, codes: Any) -> None:
    low, high = head[3], head[4]
    for j in range(head[0]):
        x = values[j]
        at = head[2] + j * N_CODES - 1
        code: Any = 0
        for step in (128, 64, 32, 16, 8, 4, 2, 1):  # unrolled; compares without branching
            code += step * np.int64(arena[at + code + step] < x)
        if x < arena[low + j] or x > arena[high + j]:
            code = UNSEEN_CODE
        codes[j] = code if x == x else NULL_CODE  # noqa: PLR0124 - NaN alone differs from itself


@njit
def _margin_row(arena: Any, head: Any, codes: Any, left: Any) -> Any:
    """The sum of the leaves that no code rules out, from the lowest bit up; `left` is scratch, uint64[BLOCK]."""
    margin = 0.0
    leaf = np.uint64(head[11])
    for block in range(head[1]):
        _and_sets(arena, codes, block, left)
        for w in range(_WORDS):
            rest = left[w]
            while rest:
                margin += arena[leaf + _lowest_bit(rest)]
                rest &= rest - _ONE
            leaf += _STRIDE
    return margin


@entry(types.float64(_ARENA, _ROW_VALUES))
def score(arena: Any, values: Any) -> Any:
    """The margin of float64[f] values."""
    head = arena.view(np.int64)
    if len(values) != head[0]:
        raise ValueError("values must have one entry for each feature")
    scratch = np.empty(BLOCK + (head[0] + 7) // 8, np.uint64)  # one allocation, not two
    codes = scratch[BLOCK:].view(np.uint8)
    _codes_row(arena, head, values, codes)
    return _margin_row(arena, head, codes, scratch[:BLOCK])


@njit
def _codes_rows(arena: Any, head: Any, values: Any, codes: Any) -> None:
    """Few rows one by one.

    Many by columns, so that the same step of the search is done for many rows at once, in vector registers. Indices are
    unsigned here, because numba lets a signed one count from the end and would look at its sign each time.
    """
    if len(values) < _FEW:
        for i in range(len(values)):
            _codes_row(arena, head, values[i], codes[i])
        return
    x, code = np.empty(_ROWS), np.empty(_ROWS, np.uint64)
    rows, nothing = np.uint64(len(values)), np.uint64(0)
    for start in range(nothing, rows, np.uint64(_ROWS)):
        n = min(np.uint64(_ROWS), rows - start)
        for j in range(np.uint64(head[0])):
            for i in range(n):
                x[i] = values[start + i, j]
                code[i] = nothing
            first = np.uint64(head[2]) + j * _FULL
            bit = np.uint64(head[np.uint64(head[5]) + j])
            while bit:
                bit -= _ONE
                for i in range(n):
                    c = code[i]
                    code[i] = c + (np.uint64(arena[first + c + (_ONE << bit) - _ONE] < x[i]) << bit)
            low, high = arena[np.uint64(head[3]) + j], arena[np.uint64(head[4]) + j]
            for i in range(n):
                value = x[i]
                found = np.uint8(UNSEEN_CODE) if value < low or value > high else np.uint8(code[i])
                codes[start + i, j] = found if value == value else np.uint8(NULL_CODE)  # noqa: PLR0124 - see above


@entry(types.void(_ARENA, _VALUES, _CODES))
def codes_rows(arena: Any, values: Any, codes: Any) -> None:
    """Write the uint8[n, f] codes of float64[n, f] values."""
    head = arena.view(np.int64)
    if values.shape != codes.shape or values.shape[1] != head[0]:
        raise ValueError("values and codes must have one column for each feature")
    _codes_rows(arena, head, values, codes)


@entry(types.void(_ARENA, _VALUES, _COUNTS))
def count_rows(arena: Any, values: Any, counts: Any) -> None:
    """Add the cells of float64[n, f] values to int64[f, 14] counts."""
    head, cells = arena.view(np.int64), arena.view(np.uint8)
    f, at = head[0], head[12] * 8
    if values.shape[1] != f or counts.shape != (f, N_CELLS):
        raise ValueError("values must have one column, counts one row of cells, for each feature")
    codes = np.empty((min(len(values), _ROWS), f), np.uint8)
    for start in range(0, len(values), _ROWS):
        n = min(len(values) - start, _ROWS)
        _codes_rows(arena, head, values[start : start + n], codes[:n])
        for i in range(n):
            for j in range(f):
                counts[j, cells[at + j * N_CODES + codes[i, j]]] += 1


@entry(types.void(_ARENA, _READ_ONLY_VALUES, _MARGINS, _MARGINS))
def mean_rows(arena: Any, values: Any, table: Any, means: Any) -> None:
    """Write the float64[n] means over the features of what float64[f * 256] `table` says of their codes.

    Added feature after feature: the same bits on every machine and for every number of rows.
    """
    head = arena.view(np.int64)
    f = head[0]
    if values.shape[1] != f or len(table) != f * N_CODES or len(means) != len(values):
        raise ValueError("values must have one column, the table 256 entries for each feature; means one for each row")
    codes = np.empty(values.shape, np.uint8)
    _codes_rows(arena, head, values, codes)
    for i in range(len(values)):
        total = table[codes[i, 0]]
        for j in range(1, f):
            total += table[j * N_CODES + codes[i, j]]
        means[i] = total / f


@entry(types.void(_ARENA, _CODES, _MARGINS))
def margin_rows(arena: Any, codes: Any, margins: Any) -> None:
    """Write the float64[n] margins of uint8[n, f] codes.

    Four rows in step: each has its own chain of additions, whose order is fixed, and they wait for one another's
    results no longer. Where one row has no leaf left in a word and another has, it adds the 0 that is kept for that.
    """
    head = arena.view(np.int64)
    if codes.shape[1] != head[0] or len(margins) != len(codes):
        raise ValueError("codes must have one column for each feature, margins one entry for each row")
    left = np.empty((4, BLOCK), np.uint64)
    a, b, c, d = left[0], left[1], left[2], left[3]
    fours = len(codes) // 4 * 4
    for start in range(0, fours, _ROWS):
        stop = min(fours, start + _ROWS)
        margins[start:stop] = 0.0
        for block in range(head[1]):
            for i in range(start, stop, 4):
                _and_sets(arena, codes[i], block, a)
                _and_sets(arena, codes[i + 1], block, b)
                _and_sets(arena, codes[i + 2], block, c)
                _and_sets(arena, codes[i + 3], block, d)
                of_a, of_b, of_c, of_d = margins[i], margins[i + 1], margins[i + 2], margins[i + 3]
                leaf = np.uint64(head[11]) + np.uint64(block) * _WORDS * _STRIDE
                for w in range(_WORDS):
                    in_a, in_b, in_c, in_d = a[w], b[w], c[w], d[w]
                    while in_a | in_b | in_c | in_d:
                        of_a += arena[leaf + _lowest_bit(in_a)]
                        of_b += arena[leaf + _lowest_bit(in_b)]
                        of_c += arena[leaf + _lowest_bit(in_c)]
                        of_d += arena[leaf + _lowest_bit(in_d)]
                        in_a &= in_a - _ONE
                        in_b &= in_b - _ONE
                        in_c &= in_c - _ONE
                        in_d &= in_d - _ONE
                    leaf += _STRIDE
                margins[i], margins[i + 1], margins[i + 2], margins[i + 3] = of_a, of_b, of_c, of_d
    for i in range(fours, len(codes)):
        margins[i] = _margin_row(arena, head, codes[i], a)


ENTRIES: Final = (score, codes_rows, count_rows, mean_rows, margin_rows)

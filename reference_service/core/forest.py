"""A forest as one bitset over all its leaves, so that scoring is AND, not walking.

Lay the leaves of all trees side by side, one bit each. A code of a feature rules some leaves out: those under the
side that a split on that feature does not take. The AND over the features of "leaves not ruled out" keeps exactly
one leaf of every tree, the one that a walk would have reached, because a leaf survives if and only if every split
above it points towards it. The margin is the sum of the surviving leaves from the lowest bit up, which is tree
order, which is LightGBM's order of addition: equal bit for bit.

The bitset is QuickScorer's (Lucchese et al., QuickScorer: a fast algorithm to rank documents with additive
ensembles of regression trees, SIGIR 2015). There each split that fails is found by a scan and clears its bits; here
binning has made a feature's value one byte, so that all splits of a feature are answered by one table row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from reference_service.core.binning import N_CODES, Bins, representatives
from reference_service.core.trees import Model, Tree, goes_right

WORD: Final = 64
LINE: Final = 8
"""Words to a cache line; the kernel takes a line at a time."""


@dataclass(frozen=True, slots=True)
class Forest:
    """The compiled forest. W words hold all leaves; a tree of up to 64 leaves lies within one word."""

    used: np.ndarray  # int64[u], the features that any split reads
    leaf_sets: np.ndarray  # uint64[u, 256, W], the leaves that a code of a used feature does not rule out
    leaf_values: np.ndarray  # float64[W * 64], by bit; 0 where no leaf lies


def compile_forest(model: Model, bins: Bins) -> Forest:
    """Compile the trees against the bins; every split must fall on a cut, as `compile_bins` sees to."""
    starts, n_words = _layout(model.trees)
    used = sorted({node.feature for tree in model.trees for node in tree.nodes}) or [0]
    row = {feature: u for u, feature in enumerate(used)}
    values = {feature: representatives(bins, feature) for feature in used}
    sets = np.full((len(used), N_CODES, n_words), np.iinfo(np.uint64).max, dtype=np.uint64)
    leaf_values = np.zeros(n_words * WORD)
    occupied = 0
    for tree, start in zip(model.trees, starts, strict=True):
        leaf_values[start : start + len(tree.leaves)] = tree.leaves
        occupied |= ((1 << len(tree.leaves)) - 1) << start
        first, stop = start // WORD, -(-(start + len(tree.leaves)) // WORD)
        shift, n = start - first * WORD, stop - first
        below = _leaves_below(tree)
        for node in tree.nodes:
            left_leaves, right_leaves = (_leaves_of(child, below) << shift for child in (node.left, node.right))
            right = goes_right(node, values[node.feature])[:, None]
            ruled_out = np.where(right, _words(left_leaves, n), _words(right_leaves, n))
            sets[row[node.feature], :, first:stop] &= ~ruled_out
    sets &= _words(occupied, n_words)
    return Forest(used=np.array(used, dtype=np.int64), leaf_sets=sets, leaf_values=leaf_values)


def _layout(trees: tuple[Tree, ...]) -> tuple[list[int], int]:
    """The first bit of every tree, and the number of words, whole lines of them."""
    starts: list[int] = []
    bit = 0
    for tree in trees:
        room = -bit % WORD
        if len(tree.leaves) > room and (len(tree.leaves) <= WORD or room):
            bit += room  # begin a word: no tree that fits into one is cut in two
        starts.append(bit)
        bit += len(tree.leaves)
    n_lines = -(-bit // (WORD * LINE))
    return starts, n_lines * LINE


def _leaves_below(tree: Tree) -> list[int]:
    """For every node, the set of leaves under it, as bits of an int. Children come after their parents."""
    below = [0] * len(tree.nodes)
    for i in range(len(tree.nodes) - 1, -1, -1):
        below[i] = _leaves_of(tree.nodes[i].left, below) | _leaves_of(tree.nodes[i].right, below)
    return below


def _leaves_of(child: int, below: list[int]) -> int:
    return below[child] if child >= 0 else 1 << ~child


def _words(bits: int, n: int) -> np.ndarray:
    return np.frombuffer(bits.to_bytes(n * WORD // 8, "little"), dtype="<u8").astype(np.uint64)

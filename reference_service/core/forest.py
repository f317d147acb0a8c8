"""A forest as one bitset over all its leaves, so that scoring is AND, not walking.

Lay the leaves of all trees side by side, one bit each. A code of a feature rules some leaves out: those under the
side that a split on that feature does not take. The AND over the features of "leaves not ruled out" keeps exactly
one leaf of every tree, the one that a walk would have reached, because a leaf survives if and only if every split
above it points towards it. The margin is the sum of the surviving leaves from the lowest bit up, which is tree
order, which is LightGBM's order of addition: equal bit for bit.

The bitset is QuickScorer's (Lucchese et al., QuickScorer: a fast algorithm to rank documents with additive
ensembles of regression trees, SIGIR 2015). There each split that fails is found by a scan and clears its bits; here
binning has made a feature's value one byte, so that all splits of a feature are answered by one table row.

The bitset is cut into blocks of `BLOCK` words, as many as vector registers hold. Within a block few splits are left
to a feature, so that most of its codes rule out the same leaves: each distinct set is stored once, and a byte per code
says which. That makes the table of a block small enough for the nearest caches, where the whole forest's is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from reference_service.core.binning import N_CODES, Bins, representatives
from reference_service.core.trees import Model, Tree, goes_right

WORD: Final = 64
BLOCK: Final = 16
"""Words to a block: two cache lines. Measured beside 8, 24 and 32; it is the least from which on nothing is gained."""
STRIDE: Final = WORD + 1
"""Leaf values to a word. The last is 0: what the lowest bit of an empty word, which is 64, finds."""

_ALL: Final = np.iinfo(np.uint64).max


@dataclass(frozen=True, slots=True)
class Forest:
    """The compiled forest: B blocks hold all leaves; a tree of up to 64 leaves lies within one word.

    A *test* is what one feature has to say in one block. Test t of code c leaves `leaf_sets[first[t] + pick[t, c]]`.
    """

    starts: np.ndarray  # int64[B + 1], the first test of every block, and the number of tests
    features: np.ndarray  # int64[t], what a test reads
    first: np.ndarray  # int64[t], where the distinct sets of a test begin
    pick: np.ndarray  # uint8[t, 256], which of them a code has
    leaf_sets: np.ndarray  # uint64[s, BLOCK], leaves that are not ruled out
    leaf_values: np.ndarray  # float64[B * BLOCK * STRIDE], by word and bit; 0 where no leaf lies


def compile_forest(model: Model, bins: Bins) -> Forest:
    """Compile the trees against the bins; every split must fall on a cut, as `compile_bins` sees to."""
    bits, n_words = _layout(model.trees)
    n_blocks = n_words // BLOCK
    used = sorted({node.feature for tree in model.trees for node in tree.nodes}) or [0]
    sets, occupied = _leaf_sets(model.trees, bits, n_words, {j: representatives(bins, j) for j in used})
    leaf_values = np.zeros((n_words, STRIDE))
    for tree, bit in zip(model.trees, bits, strict=True):
        at = np.arange(bit, bit + len(tree.leaves))
        leaf_values[at // WORD, at % WORD] = tree.leaves

    starts, features, first, picks, distinct = [0], [], [], [], []
    n_sets = 0
    for block in range(n_blocks):
        words = slice(block * BLOCK, (block + 1) * BLOCK)
        telling = [j for j in used if (sets[j][:, words] != occupied[words]).any()] or used[:1]
        for j in telling:
            found, pick = np.unique(sets[j][:, words], axis=0, return_inverse=True)
            features.append(j)
            first.append(n_sets)
            picks.append(pick.ravel().astype(np.uint8))
            distinct.append(found)
            n_sets += len(found)
        starts.append(len(features))
    return Forest(
        starts=np.array(starts, dtype=np.int64),
        features=np.array(features, dtype=np.int64),
        first=np.array(first, dtype=np.int64),
        pick=np.array(picks),
        leaf_sets=np.concatenate(distinct),
        leaf_values=leaf_values.ravel(),
    )


def check_forest(forest: Forest, n_features: int) -> None:
    """Raise ValueError unless every index stays inside: the kernel does not check them."""
    tests, blocks = len(forest.features), len(forest.starts) - 1
    shapes = {
        "starts": (forest.starts, (blocks + 1,), np.int64),
        "features": (forest.features, (tests,), np.int64),
        "first": (forest.first, (tests,), np.int64),
        "pick": (forest.pick, (tests, N_CODES), np.uint8),
        "leaf_sets": (forest.leaf_sets, (len(forest.leaf_sets), BLOCK), np.uint64),
        "leaf_values": (forest.leaf_values, (blocks * BLOCK * STRIDE,), np.float64),
    }
    for name, (array, shape, dtype) in shapes.items():
        if array.shape != shape or array.dtype != dtype:
            raise ValueError(f"array {name} is {array.dtype}{array.shape}, expected {shape} of {dtype}")
    inside = (
        blocks > 0
        and forest.starts[0] == 0
        and forest.starts[-1] == tests
        and (np.diff(forest.starts) > 0).all()
        and forest.features.min() >= 0
        and forest.features.max() < n_features
        and forest.first.min() >= 0
        and (forest.first + forest.pick.max(axis=1)).max() < len(forest.leaf_sets)
    )
    if not inside:
        raise ValueError("the compiled forest refers to features, tests or leaves that it does not have")


def _layout(trees: tuple[Tree, ...]) -> tuple[list[int], int]:
    """The first bit of every tree, and the number of words, whole blocks of them."""
    starts: list[int] = []
    bit = 0
    for tree in trees:
        room = -bit % WORD
        if len(tree.leaves) > room and (len(tree.leaves) <= WORD or room):
            bit += room  # begin a word: no tree that fits into one is cut in two
        starts.append(bit)
        bit += len(tree.leaves)
    return starts, -(-bit // (WORD * BLOCK)) * BLOCK


def _leaf_sets(
    trees: tuple[Tree, ...], bits: list[int], n_words: int, values: dict[int, np.ndarray]
) -> tuple[dict[int, np.ndarray], np.ndarray]:
    """By feature, uint64[256, W] of the leaves that its codes do not rule out; and uint64[W] of all leaves.

    `values` holds the representatives of the features' codes.
    """
    sets = {feature: np.full((N_CODES, n_words), _ALL, dtype=np.uint64) for feature in values}
    occupied = 0
    for tree, bit in zip(trees, bits, strict=True):
        occupied |= ((1 << len(tree.leaves)) - 1) << bit
        first, stop = bit // WORD, -(-(bit + len(tree.leaves)) // WORD)
        shift, n = bit - first * WORD, stop - first
        below = _leaves_below(tree)
        for node in tree.nodes:
            left_leaves, right_leaves = (_leaves_of(child, below) << shift for child in (node.left, node.right))
            right = goes_right(node, values[node.feature])[:, None]
            ruled_out = np.where(right, _words(left_leaves, n), _words(right_leaves, n))
            sets[node.feature][:, first:stop] &= ~ruled_out
    everything = _words(occupied, n_words)
    return {feature: of & everything for feature, of in sets.items()}, everything


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

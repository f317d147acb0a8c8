"""LightGBM's text model, read as data. No pickle, and nothing is executed.

What a node decides is in `goes_right`, after LightGBM's `Tree::NumericalDecision` and the way its predictor
takes dense rows (values within ±`ZERO` are stored as 0): https://github.com/microsoft/LightGBM, tree.h.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

ZERO: Final = float(np.float32(1e-35))
"""LightGBM's kZeroThreshold: a float literal, widened. Anything within ±ZERO is zero."""

Missing = Literal["none", "zero", "nan"]
_MISSING: Final[tuple[Missing, ...]] = ("none", "zero", "nan")
_CATEGORICAL: Final = 1
_DEFAULT_LEFT: Final = 2
_COLUMNS: Final = ("split_feature", "threshold", "decision_type", "left_child", "right_child")


class ModelError(ValueError):
    """The text is not a model that this core can serve; the message says which part and why."""


@dataclass(frozen=True, slots=True)
class Node:
    """One split. A child that is negative is the leaf `~child`."""

    feature: int
    threshold: float
    missing: Missing
    default_left: bool
    left: int
    right: int


@dataclass(frozen=True, slots=True)
class Tree:
    """One tree; node 0 is the root. A tree without nodes is the constant `leaves[0]`."""

    nodes: tuple[Node, ...]
    leaves: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """A forest whose raw margin is the sum, in order, of one leaf of every tree."""

    features: tuple[str, ...]
    objective: str
    sigmoid: float  # slope of the logistic link: probability = 1 / (1 + exp(-sigmoid * margin))
    trees: tuple[Tree, ...]


def goes_right(node: Node, values: np.ndarray) -> np.ndarray:
    """bool[n]: which of float64[n] values of the node's feature LightGBM would send to the right child."""
    missing = np.isnan(values)
    stored = np.where(np.abs(values) > ZERO, values, 0.0)  # NaN too, unless the node treats NaN as missing
    right = stored > node.threshold
    match node.missing:
        case "none":
            return right
        case "zero":
            return np.where(stored == 0.0, not node.default_left, right)
        case "nan":
            return np.where(missing, not node.default_left, right)


def parse(text: str) -> Model:
    """Read what `Booster.save_model` or `Booster.model_to_string` wrote.

    Raises:
        ModelError: Not such a text, or a model with categorical (set-membership) splits, linear leaves, averaged
            output or several outputs to a row, none of which is a sum of threshold trees.
    """
    head, *blocks = text.split("\nTree=")
    if not head.startswith("tree\n") or not blocks or "\nend of trees" not in text:
        raise ModelError("not a LightGBM text model")
    header = _pairs(head)
    if header.get("num_tree_per_iteration") != "1":
        raise ModelError(f"{header.get('num_tree_per_iteration')} trees to an iteration: only one output is supported")
    if "average_output" in head.splitlines():
        raise ModelError("averaged output (boosting=rf) is not supported")
    blocks[-1] = blocks[-1].split("\nend of trees")[0]
    objective = header.get("objective", "none")
    try:
        slopes = [float(word.removeprefix("sigmoid:")) for word in objective.split() if word.startswith("sigmoid:")]
        features = tuple(header["feature_names"].split())
        trees = tuple(_tree(block) for block in blocks)
    except (KeyError, IndexError, ValueError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"a LightGBM text model that cannot be read: {error!r}") from error
    if any(not 0 <= node.feature < len(features) for tree in trees for node in tree.nodes):
        raise ModelError(f"a split on a feature beyond the {len(features)} that are named")
    return Model(features=features, objective=objective, sigmoid=slopes[0] if slopes else 1.0, trees=trees)


def _pairs(block: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in block.splitlines() if "=" in line)


def _tree(block: str) -> Tree:
    pairs = _pairs("index=" + block)
    where = f"tree {pairs['index']}"
    if pairs.get("is_linear", "0") != "0":
        raise ModelError(f"{where}: linear leaves are not supported")
    leaves = tuple(float(word) for word in pairs["leaf_value"].split())
    if len(leaves) != int(pairs["num_leaves"]):
        raise ModelError(f"{where}: {len(leaves)} leaf values for {pairs['num_leaves']} leaves")
    if len(leaves) == 1:
        return Tree((), leaves)
    columns = [pairs[key].split() for key in _COLUMNS]
    if {len(column) for column in columns} != {len(leaves) - 1}:
        raise ModelError(f"{where}: a tree of {len(leaves)} leaves needs {len(leaves) - 1} nodes")
    nodes = tuple(_node(where, words) for words in zip(*columns, strict=True))
    _check_shape(where, nodes, len(leaves))
    return Tree(nodes, leaves)


def _node(where: str, words: tuple[str, ...]) -> Node:
    feature, threshold, decision, left, right = words  # in the order of _COLUMNS
    bits = int(decision)
    if bits & _CATEGORICAL:
        raise ModelError(f"{where}: a categorical split; encode categories as ordinals before training")
    return Node(
        feature=int(feature),
        threshold=float(threshold),
        missing=_MISSING[bits >> 2],
        default_left=bool(bits & _DEFAULT_LEFT),
        left=int(left),
        right=int(right),
    )


def _check_shape(where: str, nodes: tuple[Node, ...], n_leaves: int) -> None:
    """Every node but the root and every leaf has exactly one parent, which comes earlier."""
    children = sorted(child for node in nodes for child in (node.left, node.right))
    if children != [*range(-n_leaves, 0), *range(1, len(nodes))]:
        raise ModelError(f"{where}: its nodes do not form one tree")
    if any(0 <= child <= parent for parent, node in enumerate(nodes) for child in (node.left, node.right)):
        raise ModelError(f"{where}: a node comes before its parent")

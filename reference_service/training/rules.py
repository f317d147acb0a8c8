"""Plain rules as a version like any other: what was there before the model, and what a model has to be better than.

A rule adds its points, in log-odds, to a row on which all of its conditions hold; the sum through the logistic function
is the score. Each rule is one small tree of threshold splits, so that rules are compiled, verified, monitored and
released exactly as a forest is, and can be an arm of an A/B test. A null, or a category that nobody knows, meets none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import lightgbm

from reference_service.contract import Contract, Field

_NAN_LEFT, _NAN_RIGHT = 2 << 2 | 2, 2 << 2  # LightGBM's decision types: missing is NaN, and goes there


class Condition(NamedTuple):
    """A field is above a number, or equals a category or a boolean: one of the two."""

    field: str
    above: float | None = None
    equals: str | bool | None = None


class Rule(NamedTuple):
    """Points for a row on which all conditions hold."""

    points: float
    conditions: tuple[Condition, ...]


class _Split(NamedTuple):
    feature: int
    threshold: float
    right: bool  # whether a row on which it holds goes right, which is above the threshold


_HEAD: Final = """tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx={last}
objective=binary sigmoid:1
feature_names={names}
feature_infos={infos}
"""


def booster(contract: Contract, base: float, rules: Sequence[Rule]) -> lightgbm.Booster:
    """The rules as a model of LightGBM.

    Args:
        contract: whose fields the conditions name.
        base: points of a row on which no rule holds.
        rules: in any order; all that hold count.

    Raises:
        ValueError: A condition names no field, or says nothing that can hold of it.
    """
    names = [field.name for field in contract.fields]
    head = _HEAD.format(last=len(names) - 1, names=" ".join(names), infos=" ".join("[-1e308:1e308]" for _ in names))
    trees = [_constant(base), *(_tree(contract, rule) for rule in rules)]
    blocks = (f"\nTree={index}\n{tree}\n" for index, tree in enumerate(trees))
    return lightgbm.Booster(model_str=head + "".join(blocks) + "\nend of trees\n")


def _tree(contract: Contract, rule: Rule) -> str:
    """A chain: who fails a condition leaves, who holds all of them gets the points."""
    splits = [split for condition in rule.conditions for split in _splits(contract, condition)]
    if not splits:
        raise ValueError("a rule needs a condition")
    last = len(splits) - 1
    # Leaf k is where those end who fail the k-th split; the last leaf has the points.
    onward = [k + 1 if k < last else ~(last + 1) for k in range(len(splits))]
    left = [~k if split.right else onward[k] for k, split in enumerate(splits)]
    right = [onward[k] if split.right else ~k for k, split in enumerate(splits)]
    columns: dict[str, Sequence[object]] = {
        "split_feature": [split.feature for split in splits],
        "threshold": [repr(float(split.threshold)) for split in splits],
        "decision_type": [_NAN_LEFT if split.right else _NAN_RIGHT for split in splits],
        "left_child": left,
        "right_child": right,
        "leaf_value": [*(0.0 for _ in splits), float(rule.points)],
    }
    return _text(len(splits) + 1, columns)


def _constant(value: float) -> str:
    return _text(1, {"leaf_value": [float(value)]})


def _text(leaves: int, columns: Mapping[str, Sequence[object]]) -> str:
    zeros = " ".join("0" for _ in range(leaves))
    nodes = " ".join("0" for _ in range(leaves - 1))
    unused = f"split_gain={nodes}\nleaf_weight={zeros}\nleaf_count={zeros}\ninternal_value={nodes}\n"
    unused += f"internal_weight={nodes}\ninternal_count={nodes}\n"
    said = "".join(f"{name}={' '.join(str(word) for word in words)}\n" for name, words in columns.items())
    return f"num_leaves={leaves}\nnum_cat=0\n{said}{unused}is_linear=0\nshrinkage=1\n"


def _splits(contract: Contract, condition: Condition) -> list[_Split]:
    index = next((j for j, field in enumerate(contract.fields) if field.name == condition.field), None)
    if index is None:
        raise ValueError(f"no field {condition.field}")
    if (condition.above is None) == (condition.equals is None):
        raise ValueError(f"{condition.field}: either `above` or `equals`")
    if condition.above is not None:
        return [_Split(index, condition.above, right=True)]
    code = _code(contract.fields[index], condition)
    return [_Split(index, code - 0.5, right=True), _Split(index, code + 0.5, right=False)]


def _code(field: Field, condition: Condition) -> int:
    """The number that training and serving have for this value."""
    value = condition.equals
    if field.kind == "boolean" and isinstance(value, bool):
        return int(value)
    if field.kind == "category" and value in field.categories:
        return field.categories.index(str(value))
    raise ValueError(f"{field.name} is never {value!r}")

"""Which keys may stand where, read off the models; and where a key that may not stand here belongs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from simulator.scenario.document import Where
from simulator.scenario.errors import did_you_mean, nearest, suggest


def at(data: Any, where: Where) -> Any:
    """The part of the data at that path, which must be there."""
    for part in where:
        data = data[part]
    return data


def home(model: type[BaseModel], data: Any, where: Where) -> tuple[str, Where | None]:
    """(hint, path at which the key was probably meant to stand)."""
    key, around = str(where[-1]), at(data, where[:-1])
    for depth in range(len(where) - 2, -1, -1):
        if isinstance(where[depth], str) and key in keys_at(model, where[:depth]):
            return f"it belongs one level up, beside `{where[depth]}`", (*where[:depth], key)
    for sibling, value in around.items():
        inner = (*where[:-1], sibling)
        if isinstance(value, Mapping) and sibling != key and key in keys_at(model, inner):
            return f"it belongs inside `{sibling}`", (*inner, key)
    left = [name for name in keys_at(model, where[:-1]) if name not in around]
    if name := nearest(key, left):
        return did_you_mean(key, [name]), (*where[:-1], name)
    return suggest(key, left, "keys left"), None


def keys_at(model: type[BaseModel], where: Where) -> list[str]:
    """The keys that may stand in the mapping at this path, as the file spells them; empty if anything may."""
    shapes: list[Any] = [model]
    for part in where:
        shapes = [inner for shape in shapes for inner in _inside(shape, part)]
    return [
        field.alias or name
        for shape in _branches(shapes)
        if _is_model(shape)
        for name, field in shape.model_fields.items()
    ]


def _inside(shape: Any, part: str | int) -> Iterator[Any]:
    for branch in _branches([shape]):
        if _is_model(branch) and isinstance(part, str):
            yield from (f.annotation for name, f in branch.model_fields.items() if (f.alias or name) == part)
        elif isinstance(part, int) and get_origin(branch) in {tuple, list}:
            yield get_args(branch)[0]
        elif isinstance(part, str) and get_origin(branch) in {dict, Mapping}:
            yield get_args(branch)[1]


def _branches(shapes: list[Any]) -> Iterator[Any]:
    """Unions and Annotated, opened."""
    for shape in shapes:
        if get_origin(shape) is Annotated:
            yield from _branches([get_args(shape)[0]])
        elif get_origin(shape) in {Union, UnionType}:
            yield from _branches(list(get_args(shape)))
        else:
            yield shape


def _is_model(shape: Any) -> bool:
    return isinstance(shape, type) and issubclass(shape, BaseModel)

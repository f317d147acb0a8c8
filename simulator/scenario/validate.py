"""Plain data → a pydantic model, with pydantic's complaints told as flaws a person can act on.

Validation is strict (`"3"` is not a number, `yes` is not true) and by the names that the language spells
(`for`, never `length`). A typo in a required key is one flaw, not "unknown" plus "missing"; the branches
of a union that the author did not choose stay silent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from simulator.scenario.document import Flaw, Where
from simulator.scenario.errors import did_you_mean
from simulator.scenario.keys import at, home

Model = TypeVar("Model", bound=BaseModel)

_WANTED: Final = {  # pydantic's error type → what should have stood there
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "tuple_type": "a list",
    "list_type": "a list",
}
_LIMITS: Final = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
_CHOICE: Final = re.compile(r"'([^']*)'|(?<![\w'])([\w.-]+)(?![\w'])")


@dataclass(frozen=True, slots=True)
class _Complaint:
    """One pydantic error, whose location is split into the path through the data and the union's branch."""

    kind: str
    where: Where
    union: Where | None  # where the union stands whose branch complains
    error: ErrorDetails


@dataclass(frozen=True, slots=True)
class Validated(Generic[Model]):
    """The model, if the data is one; otherwise what keeps it from being one."""

    model: Model | None
    flaws: tuple[Flaw, ...]


def validate(model: type[Model], data: Any, absent: frozenset[Where] = frozenset()) -> Validated[Model]:
    """Validate data as read from YAML.

    Args:
        model: What the data should be.
        data: dict, list and scalars.
        absent: Keys that were given without a value and are reported elsewhere, so not reported missing.
    """
    try:
        # Through JSON, because only there does strict mode take a list for a tuple and text for an enum or a path.
        return Validated(model.model_validate_json(json.dumps(data), strict=True, by_alias=True, by_name=False), ())
    except ValidationError as error:
        complaints = [_complaint(data, detail) for detail in error.errors(include_url=False)]
    flaws = [_flaw(model, data, group) for group in _unions(complaints, data)]
    flaws = [flaw for flaw in flaws if not (flaw.code == "missing-key" and flaw.where in absent)]
    meant = {home(model, data, flaw.where)[1] for flaw in flaws if flaw.code == "unknown-key"}
    return Validated(None, tuple(f for f in flaws if not (f.code == "missing-key" and f.where in meant)))


# ---------------------------------------------------------------- from pydantic's location to a path through the data


def _complaint(data: Any, error: ErrorDetails) -> _Complaint:
    where: Where = ()
    union: Where | None = None
    for step, part in enumerate(error["loc"]):
        last = step == len(error["loc"]) - 1
        if part in data if isinstance(data, Mapping) else isinstance(data, list) and part in range(len(data)):
            where, data = (*where, part), data[part]
        elif last and error["type"] == "missing":
            where = (*where, part)
        elif union is None and part != "[key]":
            union = where  # the name of a branch, such as "AlertIs" or "literal['any']"
    return _Complaint(error["type"], where, union, error)


def _unions(complaints: list[_Complaint], data: Any) -> Iterator[list[_Complaint]]:
    """Each complaint alone, except that the branches of one union are judged together.

    Branches that do not have the shape of what was written stay silent if another branch has; if none has,
    they make one flaw together.
    """
    seen: set[Where] = set()
    for complaint in complaints:
        union = complaint.union
        if union is None:
            yield [complaint]
            continue
        if union in seen:
            continue
        seen.add(union)
        branches = [other for other in complaints if other.union == union]
        written = at(data, union)
        nested = isinstance(written, Mapping | list)
        other_shape = [
            b for b in branches if b.where == union and (b.kind in _WANTED or (b.kind == "literal_error" and nested))
        ]
        fitting = [b for b in branches if b not in other_shape]
        if not fitting:
            yield other_shape
        elif all(b.kind == "literal_error" for b in fitting):
            yield fitting
        else:
            yield from ([b] for b in fitting)


# ---------------------------------------------------------------- wording


def _flaw(model: type[BaseModel], data: Any, group: list[_Complaint]) -> Flaw:
    first = group[0]
    kind, where, error = first.kind, first.where, first.error
    if kind == "extra_forbidden":
        return Flaw(
            "unknown-key",
            f"`{where[-1]}` is not part of {part_name(where[:-1])}",
            where,
            home(model, data, where)[0],
            "key",
        )
    if kind == "missing":
        return Flaw("missing-key", f"{part_name(where[:-1])} needs `{where[-1]}`", where, at="key")
    kinds = {complaint.kind for complaint in group}
    choices = [choice for complaint in group for choice in _choices(complaint.error)]
    if kinds == {"literal_error"}:
        message = f"{_show(error['input'])} is not one of {', '.join(choices)}"
        return Flaw("bad-value", message, where, did_you_mean(str(error["input"]), choices))
    if kinds & _WANTED.keys():
        wanted = list(dict.fromkeys([_WANTED[k.kind] for k in group if k.kind in _WANTED] + choices))
        hint = f"write [{error['input']}]" if wanted == ["a list"] and _is_scalar(error["input"]) else ""
        message = f"{part_name(where)} must be {' or '.join(wanted)}, not {_show(error['input'])}"
        return Flaw("bad-value", message, where, hint)
    if kind == "value_error":
        message, _, hint = str(error["ctx"]["error"]).partition("; ")
        return Flaw("bad-value", message, where, hint)
    if kind in _LIMITS:
        key, words = _LIMITS[kind]
        return Flaw("bad-value", f"{part_name(where)} must be {words} {error['ctx'][key]}", where)
    if kind == "string_pattern_mismatch" and error["ctx"]["pattern"] == r"^[a-z][a-z0-9_]*$":
        return Flaw(
            "bad-value",
            f"{_show(error['input'])} is not a name",
            where,
            "lower-case letters, digits and _, starting with a letter",
            "key" if error["loc"][-1] == "[key]" else "value",
        )
    return Flaw("bad-value", f"{part_name(where)}: {error['msg'][:1].lower()}{error['msg'][1:]}", where)


def _choices(error: ErrorDetails) -> list[str]:
    """What pydantic lists as ``'a', 'b' or 'c'``."""
    expected = error.get("ctx", {}).get("expected", "") if error["type"] == "literal_error" else ""
    return [quoted or bare for quoted, bare in _CHOICE.findall(expected) if bare != "or"]


def part_name(where: Where) -> str:
    """What a person calls the part of the file at this path: `` `alert` `` or ``an item of `then` ``."""
    if not where:
        return "the file"
    if isinstance(where[-1], int):
        return f"an item of {part_name(where[:-1])}"
    return f"`{where[-1]}`"


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _show(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."  # noqa: PLR2004 - about what a line can carry

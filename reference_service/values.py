"""One value of a request: what it is to the model, and what is wrong with it, as its field's contract says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from reference_service.contract import Field

UNSEEN: Final = -1.0  # as the bundle encodes a category that training never saw
MISSING: Final = object()  # the field's tensor is not there
NULLS: Final = frozenset({"", "n/a", "na", "nan", "null", "none", "#n/a", "-"})  # how people write null, casefolded
NAN: Final = math.nan
NUMBER, INTEGER, CATEGORY, BOOLEAN = range(4)
_TYPES: Final = (float, int, str, bool)
_KINDS: Final = {"number": NUMBER, "integer": INTEGER, "category": CATEGORY, "boolean": BOOLEAN}


class Slot(NamedTuple):
    """A field, compiled."""

    position: int
    field: Field
    kind: int
    low: float
    high: float
    codes: Mapping[str, float]
    default: float


# What `clean` needs of a slot, in the order in which it looks: (type, position, nullable, low, high, codes; without
# codes the value is its own code). A plain tuple, which the interpreter unpacks fastest.
Fast = tuple[Any, int, bool, float, float, Mapping[Any, Any] | None]


class Plain(NamedTuple):
    """What an ordinary value of one requested column is: all that a decoder needs to know to check it."""

    kind: type
    positions: tuple[int, ...]  # of a `clean` row; the entity's is the last
    nullable: bool
    low: float
    high: float
    codes: Mapping[Any, float] | None  # without codes the value is its own code


class Itself(dict[Any, Any]):
    """Every key stands for itself: the entity, which is taken as it comes."""

    def __missing__(self, key: Any) -> Any:
        return key


def fast(slot: Slot) -> Fast:
    """What the reader of ordinary requests needs of a field."""
    codes: Mapping[Any, Any] | None = None
    if slot.kind == BOOLEAN:
        codes = {True: 1.0, False: 0.0}
    elif slot.kind == CATEGORY:
        codes = slot.codes
    return _TYPES[slot.kind], slot.position, slot.field.on_null == "model", slot.low, slot.high, codes


def is_null(value: Any) -> bool:
    """Whether a value is one of the spellings of null."""
    return value is None or (isinstance(value, str) and value.strip().casefold() in NULLS)


def compiled(index: int, field: Field, typical: float) -> Slot:
    """A field of the contract, at its position; `typical` stands in where it declares no default."""
    codes = {category: float(code) for code, category in enumerate(field.categories)}
    default = field.default
    number = codes.get(default, typical) if isinstance(default, str) else typical if default is None else float(default)
    low = -math.inf if field.minimum is None else field.minimum
    high = math.inf if field.maximum is None else field.maximum
    # Beyond float range a literal such as 1e999 arrives as infinite, where it arrives at all.
    return Slot(index, field, _KINDS[field.kind], max(low, -1.7e308), min(high, 1.7e308), codes, number)


def read(slot: Slot, value: Any) -> tuple[float, str]:
    """(number for the model, what is wrong with it or ""). A number out of range is still that number."""
    kind = slot.kind
    given = type(value)
    if kind == CATEGORY and given is str:
        code = slot.codes.get(value)
        if code is not None:
            return code, ""
        return (NAN, "null") if is_null(value) else (UNSEEN, "unseen")
    if value is MISSING:
        return NAN, "missing"
    if is_null(value):
        return NAN, "null"
    if kind == BOOLEAN:
        return (float(value), "") if given is bool else (NAN, "invalid_type")
    if kind == CATEGORY or (given is not float and given is not int):
        return NAN, "invalid_type"
    if kind == INTEGER and value != value // 1:
        return NAN, "invalid_type"
    if slot.low <= value <= slot.high:
        return float(value), ""
    return min(max(float(value), -1.7e308), 1.7e308) if given is float or abs(
        value
    ) < 1 << 1000 else NAN, "out_of_range"

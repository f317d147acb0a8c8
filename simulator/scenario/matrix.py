"""The matrix: one scenario, several cells. `$name` stands for a whole, typed value; there is no templating."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from simulator.scenario.document import Flaw, Where
from simulator.scenario.errors import nearest, suggest
from simulator.scenario.frozen import Scalar

MAX_CELLS: Final = 256

Mention = tuple[Where, str, bool]  # place, parameter, whether it is the whole value

_WHOLE: Final = re.compile(r"\$([A-Za-z_]\w*)")
_PART: Final = re.compile(r"\$\{?([A-Za-z_]\w*)\}?")
_PROSE: Final = {("title",), ("because",)}  # may speak of the parameters


@dataclass(frozen=True, slots=True)
class CellData:
    """The data of one cell: values filled in, and where each filled-in value was taken from."""

    values: dict[str, Scalar]
    data: dict[str, Any]
    origins: dict[Where, Where]  # ("when", 0, "scale", "by") → ("matrix", "factor", 1)


@dataclass(frozen=True, slots=True)
class Unfolded:
    """All cells in the order of the file, the last parameter changing fastest; one cell if there is no matrix.

    A matrix that is wrong itself still yields cells where it can, so that the rest of the file is looked at;
    `unfilled` are the places where a value is missing for that reason.
    """

    cells: tuple[CellData, ...]
    flaws: tuple[Flaw, ...]
    unfilled: frozenset[Where]


def unfold(data: dict[str, Any]) -> Unfolded:
    """Fill the matrix into the rest of the file."""
    written = data.get("matrix", {})
    body = {key: value for key, value in data.items() if key != "matrix"}
    mentions = tuple(_mentions(body, ()))
    names = list(written) if isinstance(written, Mapping) else []
    flaws = [*_shape(written), *(_use(mentions, names) if isinstance(written, Mapping) else ())]
    matrix = _usable(written)
    cells = math.prod(len(values) for values in matrix.values())
    if cells > MAX_CELLS:
        message = f"{cells} cells; more than {MAX_CELLS} in one file cannot be read by anyone"
        flaws.append(Flaw("too-large", message, ("matrix",), "leave out values or parameters"))
        matrix = {name: values[:1] for name, values in matrix.items()}
    unfilled = frozenset(where for where, name, whole in mentions if (name not in matrix if whole else name in names))
    return Unfolded(tuple(_cells(body, matrix)), tuple(flaws), unfilled)


def _use(mentions: Iterable[Mention], names: list[str]) -> Iterator[Flaw]:
    used: set[str] = set()
    for where, name, whole in mentions:
        used.add(name)
        if whole and name not in names:
            used.add(nearest(name, names) or name)  # meant, so not "used nowhere" as well
            hint = suggest(name, names, "parameters")
            yield Flaw("unknown-parameter", f"`${name}` is not in the matrix", where, hint)
        elif not whole and name in names:
            hint = "put the whole value, with its unit, into the matrix"
            yield Flaw("bad-value", f"`${name}` cannot be a part of a value", where, hint)
    for name in names:
        if name not in used:
            yield Flaw("unused-parameter", f"`${name}` is used nowhere", ("matrix", name), at="key")


def _shape(matrix: Any) -> Iterator[Flaw]:
    """What pydantic's view of the whole scenario does not see: emptiness and repetition."""
    if not isinstance(matrix, Mapping):
        yield Flaw("bad-value", "`matrix` must be a mapping of names to lists", ("matrix",))
        return
    for name, values in matrix.items():
        if not isinstance(values, list):
            yield Flaw("bad-value", f"`{name}` must be a list of values", ("matrix", name))
        elif not values:
            yield Flaw("bad-value", f"`{name}` has no value, so nothing would run", ("matrix", name), at="key")
        else:
            yield from _values(name, values)


def _values(name: str, values: list[Any]) -> Iterator[Flaw]:
    seen: set[str] = set()
    for index, value in enumerate(values):
        where = ("matrix", name, index)
        if not isinstance(value, str | int | float):
            yield Flaw("bad-value", f"a value of `{name}` must be text, a number, true or false", where)
        elif str(value) in seen:
            yield Flaw("duplicate-value", f"{value!r} is given twice", where)
        seen.add(str(value))


def _usable(matrix: Any) -> dict[str, list[tuple[int, Scalar]]]:
    """Parameter → the values that can be filled in, with their positions."""
    if not isinstance(matrix, Mapping):
        return {}
    sound = {
        name: [(i, value) for i, value in enumerate(values) if isinstance(value, str | int | float)]
        for name, values in matrix.items()
        if isinstance(values, list)
    }
    return {name: values for name, values in sound.items() if values}


def _mentions(data: Any, where: Where) -> Iterator[Mention]:
    if isinstance(data, Mapping):
        for key, value in data.items():
            yield from _mentions(value, (*where, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from _mentions(value, (*where, index))
    elif isinstance(data, str):
        if match := _WHOLE.fullmatch(data):
            yield where, match[1], True
        elif where not in _PROSE:
            yield from ((where, name, False) for name in _PART.findall(data))


def _cells(body: dict[str, Any], matrix: dict[str, list[tuple[int, Scalar]]]) -> Iterator[CellData]:
    for chosen in itertools.product(*matrix.values()):
        at: dict[str, Where] = {name: ("matrix", name, index) for name, (index, _) in zip(matrix, chosen, strict=True)}
        values = {name: value for name, (_, value) in zip(matrix, chosen, strict=True)}
        origins = {where: at[name] for where, name, whole in _mentions(body, ()) if whole and name in at}
        data = _filled(body, values)
        if values:
            data["matrix"] = {name: [value] for name, value in values.items()}
        yield CellData(values, data, origins)


def _filled(data: Any, values: dict[str, Scalar]) -> Any:
    if isinstance(data, dict):
        return {key: _filled(value, values) for key, value in data.items()}
    if isinstance(data, list):
        return [_filled(value, values) for value in data]
    if isinstance(data, str) and (match := _WHOLE.fullmatch(data)):
        return values.get(match[1], data)
    return data

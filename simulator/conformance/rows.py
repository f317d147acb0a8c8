"""Sample rows: what is legal is what they hold. Nothing else is known of the service's inputs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from simulator.scenario.errors import BadInput, Problem
from simulator.targets.rows import plain
from simulator.world.keyed import Draw
from simulator.world.population import Field
from simulator.world.populations import get

Row = Mapping[str, Any]
Kind = Literal["number", "integer", "category", "boolean"]
SEED: Final = 20_260_101
COUNT: Final = 2000  # rare but legal values must be among them; only the first few are asked


@dataclass(frozen=True, slots=True)
class Column:
    """One column as the sample shows it: `values` are its distinct values in order of appearance, null left out."""

    name: str
    kind: Kind
    values: tuple[Any, ...]
    nullable: bool
    optional: bool

    @property
    def numeric(self) -> bool:
        """Whether its values can be too large, or not a number."""
        return self.kind in {"number", "integer"}


def columns(rows: Sequence[Row]) -> tuple[Column, ...]:
    """The columns of the sample, in order of first appearance; one that is never anything but null is left out."""
    found = []
    for name in dict.fromkeys(name for row in rows for name in row):
        there = [row[name] for row in rows if name in row]
        values = tuple(dict.fromkeys(value for value in there if value is not None))
        if values:
            found.append(Column(name, _kind(values), values, None in there, len(there) < len(rows)))
    return tuple(found)


def _kind(values: Sequence[Any]) -> Kind:
    if all(isinstance(value, bool) for value in values):
        return "boolean"
    if any(isinstance(value, str) for value in values):
        return "category"
    return "integer" if all(isinstance(value, int) for value in values) else "number"


def fields(found: Sequence[Column]) -> tuple[Field, ...]:
    """The same as codecs know it."""
    return tuple(Field(column.name, column.kind) for column in found)


def of_population(name: str, count: int = COUNT) -> list[dict[str, Any]]:
    """The first `count` rows of a population, as clients send them. Raises ValueError if there is none of that name."""
    population = get(name)
    index = np.arange(count)
    sent = population.rows(Draw(SEED, "conformance"), index, index * 3_600_000_000_000).sent
    return [{f.name: plain(sent[f.name][k], f.kind) for f in population.fields} for k in range(count)]


def read(path: Path) -> list[dict[str, Any]]:
    """Rows of a file, one JSON object a line. Raises BadInput with every line that is none."""
    rows: list[dict[str, Any]] = []
    problems = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            row = None
        if isinstance(row, dict) and row and not any(isinstance(v, list | dict) for v in row.values()):
            rows.append(row)
        elif line.strip():
            hint = 'one flat object a line, such as {"amount": 12.5, "country": "DE"}'
            problems.append(Problem("bad-row", "not a JSON object of plain values", str(path), number, hint=hint))
    if not rows and not problems:
        problems.append(Problem("bad-row", "no rows", str(path), hint="a few dozen different rows are best"))
    if problems:
        raise BadInput(problems)
    return rows

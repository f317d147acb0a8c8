"""Files → frozen models. All problems of a file at once, each where it stands; never another exception."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from simulator.scenario import matrix, references
from simulator.scenario.document import Document, Flaw, Where, read
from simulator.scenario.errors import BadInput, Problem
from simulator.scenario.frozen import Scalar
from simulator.scenario.model import Expectation, Scenario
from simulator.scenario.validate import Model, validate
from simulator.scenario.verbs import Event

SUFFIX: Final = ".scenario.yaml"


@dataclass(frozen=True, slots=True)
class Cell:
    """One scenario with one choice of its matrix values.

    Attributes:
        scenario: Resolved; its `matrix` holds the values of this cell alone.
        path: The file, as the user named it.
        values: Matrix parameter → value; empty if there is no matrix.
        lines: ``"when.unit_change"``, ``"then.paged"``, ``"given"``: 1-based line.
    """

    scenario: Scenario
    path: Path
    values: dict[str, Scalar]
    lines: Mapping[str, int]
    document: Document = field(repr=False, compare=False)
    origins: Mapping[Where, Where] = field(default_factory=dict, repr=False, compare=False)

    @property
    def stem(self) -> str:
        """The file's name without its suffix: ``unit_change``."""
        return self.path.name.removesuffix(SUFFIX)

    @property
    def name(self) -> str:
        """``unit_change[factor=100]``."""
        inner = ",".join(f"{name}={value}" for name, value in self.values.items())
        return f"{self.stem}[{inner}]" if inner else self.stem

    @property
    def folder(self) -> str:
        """The name as one safe path component, different for different names (a value may be ``10/s``)."""
        return quote(self.name, safe="[]=,")

    def problem(self, flaw: Flaw) -> Problem:
        """Place a flaw: at the matrix value if it was filled in from there."""
        return _place(self.document, self.origins, flaw)


def discover(paths: Iterable[Path]) -> tuple[Path, ...]:
    """All scenario files among files and folders (searched in depth), sorted, each once.

    Raises:
        BadInput: A path does not exist, is a file of another kind, or is a folder without scenarios.
    """
    found: set[Path] = set()
    problems: list[Problem] = []
    for path in paths:
        if path.is_dir():
            inside = {file for file in path.rglob(f"*{SUFFIX}") if file.is_file()}
            if not inside:
                problems.append(Problem("no-scenario", f"holds no *{SUFFIX}", str(path)))
            found |= inside
        elif not path.exists():
            problems.append(Problem("no-file", "does not exist", str(path)))
        elif not path.name.endswith(SUFFIX):
            problems.append(Problem("no-scenario", "is not a scenario", str(path), hint=f"their names end in {SUFFIX}"))
        else:
            found.add(path)
    if not problems and not found:
        problems.append(Problem("no-scenario", "no path was given", "."))
    if problems:
        raise BadInput(problems)
    return tuple(sorted(found))


def load_all(paths: Iterable[Path]) -> list[Cell]:
    """All cells of all files that `discover` finds.

    Raises:
        BadInput: With the problems of all files at once.
    """
    cells: list[Cell] = []
    problems: list[Problem] = []
    for path in discover(paths):
        try:
            cells += load(path)
        except BadInput as error:
            problems += error.problems
    if problems:
        raise BadInput(problems)
    return cells


def load(path: Path) -> tuple[Cell, ...]:
    """All cells of one scenario file, in the order of its matrix.

    Raises:
        BadInput: With every problem of the file, from its syntax to its references.
    """
    document, read_flaws = read(path)
    data, empty = _without_nulls(document.data, ())
    flaws = [*read_flaws, *empty]
    if not isinstance(data, dict):
        raise BadInput([document.problem(Flaw("bad-value", "a scenario is a mapping", ()))])
    unfolded = matrix.unfold(data)
    flaws += unfolded.flaws
    problems = [document.problem(flaw) for flaw in flaws]
    reported = unfolded.unfilled | {flaw.where for flaw in flaws if flaw.span is None}
    lines = _lines(document)
    made: list[Cell] = []
    for cell in unfolded.cells:
        scenario, cell_flaws = _scenario(cell.data, reported)
        problems += [_place(document, cell.origins, flaw) for flaw in cell_flaws]
        if scenario is not None:
            made.append(Cell(scenario, path, cell.values, lines, document, cell.origins))
    if problems:
        raise BadInput(problems)
    return tuple(made)


def load_model(path: Path, model: type[Model]) -> Model:
    """One file as one model, without a matrix: a target file, say.

    Raises:
        BadInput: With every problem of the file.
    """
    document, flaws = read(path)
    validated = validate(model, document.data)
    if flaws or validated.model is None:
        raise BadInput(document.problem(flaw) for flaw in (*flaws, *validated.flaws))
    return validated.model


def _scenario(data: dict[str, Any], reported: frozenset[Where]) -> tuple[Scenario | None, list[Flaw]]:
    whole = validate(Scenario, data, reported)
    if whole.model is not None:
        events = dict(enumerate(whole.model.when))
        expectations = dict(enumerate(whole.model.then))
    else:
        events = dict(_sound(Event, data.get("when")))
        expectations = dict(_sound(Expectation, data.get("then")))
    referred = references.check(references.Parts(data, events, expectations))
    return whole.model, [flaw for flaw in (*whole.flaws, *referred) if flaw.where not in reported]


def _sound(model: type[Model], items: Any) -> Iterator[tuple[int, Model]]:
    for index, item in enumerate(items if isinstance(items, list) else ()):
        made = validate(model, item).model
        if made is not None:
            yield index, made


def _place(document: Document, origins: Mapping[Where, Where], flaw: Flaw) -> Problem:
    origin = origins.get(flaw.where) if flaw.at == "value" else None
    if origin is None:
        return document.problem(flaw)
    used = f"used on line {document.span(flaw.where).line} as `${origin[1]}`"
    return document.problem(replace(flaw, where=origin, hint=f"{flaw.hint}; {used}" if flaw.hint else used))


def _without_nulls(data: Any, where: Where) -> tuple[Any, list[Flaw]]:
    """Nothing in a scenario is null: a key without a value is a line that was not finished."""
    if isinstance(data, dict):
        pruned: dict[str, Any] = {}
        flaws: list[Flaw] = []
        for key, value in data.items():
            if value is None:
                flaws.append(Flaw("no-value", f"`{key}` has no value", (*where, key), "give it one, or drop it", "key"))
                continue
            pruned[key], inner = _without_nulls(value, (*where, key))
            flaws += inner
        return pruned, flaws
    if isinstance(data, list):
        parts = [_without_nulls(value, (*where, index)) for index, value in enumerate(data)]
        return [part for part, _ in parts], [flaw for _, inner in parts for flaw in inner]
    return data, []


def _lines(document: Document) -> dict[str, int]:
    lines = {str(where[0]): span.line for where, span in document.keys.items() if len(where) == 1}
    for section, key in (("when", "event"), ("then", "id")):
        items = document.data.get(section)
        for index, item in enumerate(items if isinstance(items, list) else ()):
            if isinstance(item, dict) and key in item:
                lines[f"{section}.{item[key]}"] = document.span((section, index, key)).line
    return lines

"""Recorded files → columns of plain values, each row with its line; CSV, JSON lines, Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from simulator.scenario.errors import BadInput, Problem

_MOST_PROBLEMS: Final = 20


@dataclass(frozen=True, slots=True)
class Table:
    """Columns of equal length. `lines` are 1-based lines of the file (rows of a Parquet file). Text is as written."""

    path: str
    columns: dict[str, list[Any]]
    lines: Sequence[int]

    def column(self, name: str) -> list[Any]:
        """One column. BadInput, naming those that there are, if there is no such one."""
        if name not in self.columns:
            raise bad(self.path, [(1, f"there is no column `{name}`; there are {', '.join(self.columns)}")])
        return self.columns[name]

    def converted(self, name: str, convert: Callable[[Any], Any], what: str) -> list[Any]:
        """Every value that is there, converted; null stays None. BadInput for those of which `convert` raises."""
        made: list[Any] = []
        wrong: list[tuple[int, str]] = []
        for line, value in zip(self.lines, self.column(name), strict=True):
            try:
                made.append(None if value is None else convert(value))
            except (ValueError, TypeError, OverflowError):
                wrong.append((line, f"`{name}` is not {what}: {str(value)[:40]!r}"))
        if wrong:
            raise bad(self.path, wrong)
        return made


def bad(path: str, wrong: Sequence[tuple[int, str]]) -> BadInput:
    """These lines are wrong; the first twenty are named."""
    return BadInput([Problem("bad-record", why, path, line) for line, why in wrong[:_MOST_PROBLEMS]])


def read(path: Path) -> Table:
    """The whole file.

    Raises:
        BadInput: It is missing, of another format, or broken, with the lines.
    """
    readers = {".csv": _csv, ".jsonl": _json_lines, ".parquet": _parquet}
    reader = readers.get(path.suffix)
    if reader is None:
        raise BadInput([Problem("bad-record", f"is none of {', '.join(readers)}", str(path))])
    try:
        table = reader(path)
    except FileNotFoundError:
        raise BadInput([Problem("no-record", "there is no such file", str(path))]) from None
    except (UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
        raise BadInput([Problem("bad-record", f"cannot be read: {error}", str(path))]) from error
    if not table.lines:
        raise BadInput([Problem("bad-record", "holds no row", str(path))])
    return table


def _csv(path: Path) -> Table:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file)
        names = next(rows, [])
        if len(set(names)) != len(names):
            raise bad(str(path), [(1, "two columns have the same name")])
        lines, cells, wrong = [], [], []
        for row in rows:
            if len(row) == len(names):
                lines.append(rows.line_num)
                cells.append([value or None for value in row])
            elif row:
                wrong.append((rows.line_num, f"has {len(row)} values, and the header has {len(names)}"))
    if wrong:
        raise bad(str(path), wrong)
    return Table(str(path), _columns(names, cells), lines)


def _json_lines(path: Path) -> Table:
    lines, records, wrong = [], [], []
    with path.open(encoding="utf-8") as file:
        for number, text in enumerate(file, 1):
            if not text.strip():
                continue
            try:
                record = json.loads(text)
            except json.JSONDecodeError as error:
                wrong.append((number, f"is no JSON: {error.msg}"))
                continue
            problem = _unflat(record)
            if problem:
                wrong.append((number, problem))
            else:
                lines.append(number)
                records.append(record)
    if wrong:
        raise bad(str(path), wrong)
    names = list(dict.fromkeys(name for record in records for name in record))
    return Table(str(path), {name: [record.get(name) for record in records] for name in names}, lines)


def _unflat(record: Any) -> str:
    if not isinstance(record, Mapping):
        return "is no object"
    nested = [name for name, value in record.items() if isinstance(value, Mapping | list)]
    return f"`{nested[0]}` is nested; one level of fields is read" if nested else ""


def _parquet(path: Path) -> Table:
    table = pq.read_table(path)
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    return Table(str(path), columns, range(1, table.num_rows + 1))


def _columns(names: Sequence[str], cells: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
    columns: Iterator[Sequence[Any]] = zip(*cells, strict=True) if cells else iter([[]] * len(names))
    return dict(zip(names, map(list, columns), strict=True))

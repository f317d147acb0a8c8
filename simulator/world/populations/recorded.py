"""A user's own recorded traffic as a population: in event order, with what is not to be seen dropped or hashed."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from simulator.scenario.errors import BadInput, Problem
from simulator.scenario.load import load_model
from simulator.world.keyed import Draw
from simulator.world.population import Field, Rows, Slice, Truth
from simulator.world.recording import Kind, Outcome, Recording, When
from simulator.world.table import Table, bad, read

SUFFIX: Final = ".population.yaml"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS: Final = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_KEY_LENGTH: Final = 16
_MOST_CATEGORIES: Final = 1000
_BOOLEANS: Final = {"true": True, "false": False}


@dataclass(slots=True)
class OwnTraffic:
    """Rows in event order, ties as in the file. Times are nanoseconds since 1970, UTC."""

    name: str
    fields: tuple[Field, ...]
    digest: str  # SHA-256 of the population file and its data
    event_ns: np.ndarray
    entity: np.ndarray
    segment: np.ndarray
    sent: dict[str, np.ndarray]
    known: Truth

    def slice(self, start: str, end: str) -> Slice:
        """The rows between these days or moments (UTC), the last one exclusive; ValueError if there are none."""
        start_ns, end_ns = (_ns(datetime.fromisoformat(moment)) for moment in (start, end))
        first, last = np.searchsorted(self.event_ns, (start_ns, end_ns)).tolist()
        if first >= last:
            days = [str(_EPOCH + timedelta(microseconds=int(ns) // 1000))[:10] for ns in self.event_ns[[0, -1]]]
            raise ValueError(f"{self.name} has no rows from {start} to {end} (exclusive); it has {' to '.join(days)}")
        return Slice(first, last, start_ns, end_ns)

    def rows(self, draw: Draw, index: np.ndarray, event_ns: np.ndarray) -> Rows:  # noqa: ARG002 - nothing is drawn
        """The rows at these positions, at their own times."""
        return Rows(
            event_ns=self.event_ns[index],
            entity=self.entity[index],
            segment=self.segment[index],
            sent={name: column[index] for name, column in self.sent.items()},
            latent={},
        )

    def truth(self, draw: Draw, index: np.ndarray, rows: Rows) -> Truth:  # noqa: ARG002 - nothing is drawn
        """What became of these rows, whatever they look like now: what happened has happened."""
        return Truth(self.known.label[index], self.known.label_after_ns[index])


def load(path: Path) -> OwnTraffic:
    """The population of that file, read once as long as nothing changes.

    Raises:
        BadInput: With every problem of the file, or the lines of its data that are wrong.
    """
    recording = load_model(path, Recording)
    data = path.parent / recording.file
    marks = tuple(file.stat().st_mtime_ns if file.exists() else 0 for file in (path, data))
    return _load(path, marks, key_of(recording))


def key_of(recording: Recording) -> str:
    """The key of its hashes, from the environment; empty if there is none."""
    return os.environ.get(recording.hash.key_from, "") if recording.hash else ""


@lru_cache(maxsize=4)
def _load(path: Path, marks: tuple[int, ...], key: str) -> OwnTraffic:  # noqa: ARG001 - what it is cached by
    recording = load_model(path, Recording)
    data = path.parent / recording.file
    table = read(data)
    _all_there(table, recording)
    happened = moments(table, recording.time)
    order = np.argsort(happened, kind="stable")
    event_ns = happened[order]
    keep = hidden(path, table, recording, key.encode())
    fields, sent = [], {}
    for name in table.columns:
        if name not in recording.unsent():
            field, column = _column(keep, name, recording.kinds.get(name))
            fields.append(field)
            sent[name] = column[order]
    segment = keep.column(recording.segment) if recording.segment else [""] * len(order)
    digest = hashlib.sha256(path.read_bytes() + data.read_bytes()).hexdigest()
    return OwnTraffic(
        name=path.name.removesuffix(SUFFIX),
        fields=tuple(fields),
        digest=digest,
        event_ns=event_ns,
        entity=np.array([_number(value) for value in keep.column(recording.entity)], dtype=np.int64)[order],
        segment=np.array(["" if value is None else str(value) for value in segment], dtype=object)[order],
        sent=sent,
        known=_truth(table, recording.label, event_ns, order),
    )


def _all_there(table: Table, recording: Recording) -> None:
    hashed = recording.hash.fields if recording.hash else ()
    label = [recording.label.field] if recording.label else []
    for name in (recording.time.field, recording.entity, *label, *recording.drop, *hashed, *recording.kinds):
        table.column(name)
    if recording.entity in recording.drop:
        raise BadInput([Problem("bad-value", "the entity cannot be dropped; hash it", table.path)])


# ---------------------------------------------------------------- what is not to be seen


def hidden(path: Path, table: Table, recording: Recording, key: bytes) -> Table:
    """The table with hashed values in place of those that nobody is to see."""
    if recording.hash is None:
        return table
    if len(key) < _KEY_LENGTH:
        message = f"the key in the environment variable {recording.hash.key_from} has {len(key)} characters"
        hint = f"give it at least {_KEY_LENGTH}, and keep it: another key is another population"
        raise BadInput([Problem("no-key", message, str(path), hint=hint)])
    columns = dict(table.columns)
    for field in recording.hash.fields:
        columns[field] = [None if value is None else hashed(str(value), key) for value in columns[field]]
    return Table(table.path, columns, table.lines)


def hashed(value: str, key: bytes) -> str:
    """16 hex digits of BLAKE2b under that key: the same for the same value, and no way back without the key."""
    return hashlib.blake2b(value.encode(), key=key[:64], digest_size=8).hexdigest()


def _number(value: Any) -> int:
    """An entity as a number: itself if it is one, else a digest of 63 bits."""
    try:
        return int(value)
    except (TypeError, ValueError):
        digest = hashlib.blake2b(str(value).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little") >> 1


# ---------------------------------------------------------------- columns


def moments(table: Table, when: When) -> np.ndarray:
    """int64[n]: when each row happened, in the order of the file. BadInput if one does not say so."""
    times = _times(table, when)
    if None in times:
        line = table.lines[times.index(None)]
        raise bad(table.path, [(line, f"`{when.field}` is missing: every row happens at some time")])
    return np.array(times, dtype=np.int64)


def _times(table: Table, when: When) -> list[int | None]:
    if when.unit is not None:
        unit = _UNITS[when.unit]
        return table.converted(when.field, lambda value: _scaled(value, unit), "a number")
    return table.converted(when.field, _moment, "a time; write ISO 8601, or say its `unit`")


def _scaled(value: Any, unit: int) -> int:
    try:
        return int(value) * unit  # whole numbers exactly
    except ValueError:
        return round(float(value) * unit)


def _moment(value: Any) -> int:
    return _ns(value if isinstance(value, datetime) else datetime.fromisoformat(value))


def _ns(moment: datetime) -> int:
    """Since 1970; a time without a zone is UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1) * 1000


def _column(table: Table, name: str, kind: Kind | None) -> tuple[Field, np.ndarray]:
    values = table.column(name)
    kind = kind or _guessed([value for value in values if value is not None])
    if kind == "category":
        column = np.array([None if value is None else str(value) for value in values], dtype=object)
        known = sorted({value for value in column.tolist() if value is not None})
        return Field(name, kind, categories=tuple(known) if len(known) <= _MOST_CATEGORIES else ()), column
    convert: Callable[[Any], float] = _boolean if kind == "boolean" else _whole if kind == "integer" else float
    what = {"boolean": "true or false", "integer": "a whole number", "number": "a number"}[kind]
    made = table.converted(name, convert, what)
    numbers = np.array([math.nan if value is None else float(value) for value in made])
    there = numbers[~np.isnan(numbers)]
    return Field(name, kind, spread=float(np.round(there.std(), 9)) if len(there) else 0.0), numbers


def _guessed(values: list[Any]) -> Kind:
    """The narrowest kind that fits every value; a column without values is a category."""
    if not values:
        return "category"
    kinds: tuple[tuple[Kind, Callable[[Any], float]], ...] = (
        ("boolean", _boolean),
        ("integer", _whole),
        ("number", _decimal),
    )
    for kind, convert in kinds:
        try:
            for value in values:
                convert(value)
        except (ValueError, TypeError):
            continue
        return kind
    return "category"


def _boolean(value: Any) -> float:
    if isinstance(value, bool):
        return float(value)
    return float(_BOOLEANS[value.lower()]) if isinstance(value, str) and value.lower() in _BOOLEANS else _refuse(value)


def _whole(value: Any) -> float:
    # 007 and 1_000 are no numbers: the one is a code, the other a spelling of Python's.
    text = str(value)
    return float(int(value)) if not isinstance(value, bool) and str(int(value)) == text else _refuse(value)


def _decimal(value: Any) -> float:
    code = isinstance(value, str) and value.lstrip("+-")[:1] == "0" and value.lstrip("+-")[1:2].isdigit()
    return _refuse(value) if code or isinstance(value, bool) else float(value)


def _refuse(value: Any) -> float:
    raise ValueError(value)


def _truth(table: Table, label: Outcome | None, event_ns: np.ndarray, order: np.ndarray) -> Truth:
    n = len(event_ns)
    if label is None:
        return Truth(np.full(n, -1, np.int8), np.full(n, -1, np.int64))
    positive = {str(value).lower() for value in label.positive}
    said = [-1 if value is None else int(str(value).lower() in positive) for value in table.column(label.field)]
    outcome = np.array(said, dtype=np.int8)[order]
    if label.time is None:
        after = np.full(n, int(label.after or 0), dtype=np.int64)
    else:
        known = _times(table, label.time)
        moments = np.array([-1 if moment is None else moment for moment in known], dtype=np.int64)[order]
        after = np.where(moments < 0, -1, moments - event_ns)
        early = np.flatnonzero((moments >= 0) & (after < 0))
        if len(early):
            lines = [(table.lines[int(order[i])], f"`{label.time.field}` is before the row happened") for i in early]
            raise bad(table.path, lines)
    return Truth(outcome, np.where(outcome < 0, -1, after))

"""Reads a closed history back, seals it with a digest over its logical rows, and refuses one that was altered."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from simulator.history.append import LOG, Document, write_document
from simulator.history.schema import ITEM_COLUMNS, NEVER, SCHEMA_VERSION, Header, History, Outcome

# What no reply or label has filled in.
_ABSENT: Final[dict[str, Any]] = {
    "sent_ns": NEVER, "seen_ns": NEVER, "replied_ns": NEVER, "label_ns": NEVER, "attempts": 0, "status": 0,
    "outcome": int(Outcome.MISSING), "score": float("nan"), "decision": "", "source": 0, "version": "",
    "reasons": "", "sent_digest": 0, "leak": 0,
}  # fmt: skip
_ROWS: Final = 65_536  # read at a time
# Informative or machine-dependent, hence outside the digest.
_UNDIGESTED: Final = frozenset({"digest", "versions", "path", "role", "cell", "scenario"})


class Altered(Exception):  # noqa: N818 - reads as what happened: "history altered"
    """A history is unreadable, unfinished, or not what its digest says."""


def read(folder: Path) -> History:
    """The history in `folder`. Raises `Altered` if it is incomplete or unreadable; does not check the digest."""
    document = _document(folder)
    if document.header.schema_version != SCHEMA_VERSION:
        raise Altered(
            f"{folder}: written with history schema {document.header.schema_version}, this is {SCHEMA_VERSION}"
        )
    try:
        with (
            pq.ParquetFile(folder / "plan.parquet") as plan,
            pq.ParquetFile(folder / "replies.parquet") as replies,
            pq.ParquetFile(folder / "labels.parquet") as labels,
        ):
            items = _items(plan, replies, labels)
        log = _lines(folder / LOG)
    except (OSError, pa.ArrowException) as error:
        raise Altered(f"{folder}: cannot read the columns: {error}") from error
    return History(document.header, items, document.alerts, document.events, document.notes, log)


def _items(plan: pq.ParquetFile, replies: pq.ParquetFile, labels: pq.ParquetFile) -> dict[str, np.ndarray]:
    """The columns of what happened, filled in batch by batch: beside them there is little in memory at any time."""
    happened = np.ones(plan.metadata.num_rows, dtype=bool)
    for _, columns in _batches(replies, "item", "outcome"):
        happened[columns["item"][columns["outcome"] == Outcome.WITHHELD]] = False
    place = np.cumsum(happened) - 1  # of each planned item among those that happened
    n = int(happened.sum())
    items = {name: _column(n, kind, _ABSENT.get(name)) for name, kind in ITEM_COLUMNS.items()}
    for first, columns in _batches(plan):
        there = happened[first : first + len(columns["index"])]
        begin = int(place[first] + 1 - there[0])
        for name, column in columns.items():
            items[name][begin : begin + int(there.sum())] = column[there]
    for _, columns in _batches(replies):
        there = happened[columns["item"]]
        to = place[columns.pop("item")[there]]
        np.bitwise_or.at(items["touched"], to, columns.pop("also_touched")[there])
        for name, column in columns.items():
            items[name][to] = column[there]
    for _, columns in _batches(labels):
        there = happened[columns["item"]]
        items["label_ns"][place[columns["item"][there]]] = columns["label_ns"][there]
    return items


def rows_kept(folder: Path) -> dict[str, int]:
    """How many rows of the plan, replies and labels its files hold."""
    return {name: pq.read_metadata(folder / f"{name}.parquet").num_rows for name in ("plan", "replies", "labels")}


def _lines(path: Path) -> tuple[bytes, ...] | None:
    return tuple(pq.read_table(path).column("line").to_pylist()) if path.exists() else None


def seal(folder: Path, history: History | None = None) -> History:
    """Digest a history that was just closed and write the digest into its header.

    Args:
        folder: Where its columns have been written.
        history: What was read of it, if meanwhile more has become known than the columns; written with the digest.
    """
    closed = read(folder) if history is None else history
    sealed = replace(closed, header=replace(closed.header, digest=digest(closed)))
    write_document(folder, Document(sealed.header, sealed.alerts, sealed.events, sealed.notes))
    return sealed


def verify(folder: Path) -> History:
    """`read`, and refuse what does not match its own digest. Raises `Altered`."""
    history = read(folder)
    actual = digest(history)
    if actual != history.header.digest:
        sealed = history.header.digest[:12] or "never sealed"
        raise Altered(f"{folder}: the history was altered after the run (digest {actual[:12]}, sealed: {sealed})")
    return history


def digest(history: History) -> str:
    """SHA-256 (hex) over logical rows: columns in schema order, then events, alerts and notes as canonical JSON."""
    total = hashlib.sha256()
    for name, hashed in column_digests(history).items():
        total.update(f"{name}:{hashed}\n".encode())
    return total.hexdigest()


def column_digests(history: History) -> dict[str, str]:
    """One digest per column and part, so that two histories can say where they first differ."""
    parts = {name: hashlib.sha256(_canonical(history.items[name])).hexdigest() for name in ITEM_COLUMNS}
    for name, value in (
        ("header", _digested(history.header)),
        ("events", history.events),
        ("alerts", history.alerts),
        ("notes", history.notes),
    ):
        parts[name] = hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()
    if history.log is not None:
        parts["log"] = hashlib.sha256(b"".join(b"%d:%b" % (len(line), line) for line in history.log)).hexdigest()
    return parts


def _digested(header: Header) -> dict[str, Any]:
    return {k: v for k, v in msgspec.to_builtins(header).items() if k not in _UNDIGESTED}


def first_divergence(a: History, b: History) -> str:
    """The first logical difference between two histories, for a person; empty if there is none."""
    for name in ITEM_COLUMNS:
        left, right = a.items[name], b.items[name]
        if len(left) != len(right):
            return f"{len(left)} items against {len(right)}"
        differs = left != right
        if left.dtype.kind == "f":
            differs &= ~(np.isnan(left) & np.isnan(right))
        if differs.any():
            i = int(np.argmax(differs))
            key = f"{a.items['stream'][i]}/{a.items['index'][i]}"
            return f"item {i} ({key}), column {name}: {left[i]!r} against {right[i]!r}"
    for name in ("alerts", "events", "notes", "log"):
        left_rows, right_rows = getattr(a, name) or (), getattr(b, name) or ()
        for i, (left_row, right_row) in enumerate(zip(left_rows, right_rows, strict=False)):
            if left_row != right_row:
                return f"{name}[{i}]: {left_row} against {right_row}"
        if len(left_rows) != len(right_rows):
            return f"{len(left_rows)} {name} against {len(right_rows)}"
    left_header, right_header = (_digested(h.header) for h in (a, b))
    return "; ".join(
        f"header, {name}: {value!r} against {right_header[name]!r}"
        for name, value in left_header.items()
        if value != right_header[name]
    )


def _document(folder: Path) -> Document:
    try:
        return msgspec.json.decode((folder / "history.json").read_bytes(), type=Document)
    except FileNotFoundError as error:
        raise Altered(f"{folder}: no history.json; the run did not finish, or this is not a run") from error
    except msgspec.DecodeError as error:
        raise Altered(f"{folder}/history.json: {error}") from error


def read_header(folder: Path) -> Header:
    """Only the header. Raises `Altered` if there is none."""
    return _document(folder).header


def _batches(file: pq.ParquetFile, *names: str) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """(number of the first row, columns by name) of so many rows at a time; of all columns unless some are named."""
    first = 0
    for batch in file.iter_batches(_ROWS, columns=list(names) or None):
        yield first, {name: _values(batch.column(name)) for name in batch.schema.names}
        first += batch.num_rows


def _values(column: pa.Array) -> np.ndarray:
    if not pa.types.is_string(column.type):
        values: np.ndarray = column.to_numpy(zero_copy_only=False)
        return values
    coded = column.dictionary_encode()  # few words, and each of them once in memory
    words = np.array(coded.dictionary.to_pylist(), dtype=object)
    return words[coded.indices.to_numpy()] if len(words) else np.empty(0, dtype=object)


def _column(n: int, kind: pa.DataType, absent: object) -> np.ndarray:
    if absent is None:  # filled in for every item
        return np.empty(n, dtype=object if pa.types.is_string(kind) else kind.to_pandas_dtype())
    return np.full(n, absent, dtype=object if pa.types.is_string(kind) else kind.to_pandas_dtype())


def _canonical(column: np.ndarray) -> bytes:
    if column.dtype == object:
        return "\x1f".join(column.tolist()).encode()
    if column.dtype.kind == "f":
        column = np.where(np.isnan(column), np.nan, column + 0.0)  # one NaN, one zero
    return np.ascontiguousarray(column).astype(column.dtype.newbyteorder("<")).tobytes()

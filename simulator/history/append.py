"""Streams a run to disk while it happens: what was planned, what was answered, which labels arrived.

Three Parquet files that only grow, joined by the item's ordinal when read; everything that is not an item
(alerts, events, notes) is small and goes into ``history.json`` when the run is closed.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import repeat
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import pandas as pd  # noqa: F401 - pyarrow imports it with its first array: better before a run than in it
import pyarrow as pa
import pyarrow.parquet as pq

from simulator.history.schema import ITEM_COLUMNS, NEVER, AlertRecord, EventRecord, Header, Note, Outcome, Source

PLAN_COLUMNS: Final = (
    "stream", "index", "copy", "request", "row", "entity", "segment", "event_ns", "scheduled_ns",
    "touched", "potent", "truth", "label_due_ns",
)  # fmt: skip
REPLY_SCHEMA: Final = pa.schema(
    [
        ("item", pa.int64()),  # ordinal in the plan
        ("sent_ns", pa.int64()),
        ("seen_ns", pa.int64()),
        ("replied_ns", pa.int64()),
        ("attempts", pa.int8()),
        ("status", pa.int16()),
        ("outcome", pa.int8()),
        ("score", pa.float64()),
        ("decision", pa.string()),
        ("source", pa.int8()),
        ("version", pa.string()),
        ("reasons", pa.string()),
        ("also_touched", pa.uint64()),  # bits that only the reply can tell: served by a released version
        ("sent_digest", pa.uint64()),
        ("leak", pa.int8()),
    ]
)
SCORE: Final = REPLY_SCHEMA.get_field_index("score")
LOG_SCHEMA: Final = pa.schema([("line", pa.binary())])
LABEL_SCHEMA: Final = pa.schema([("item", pa.int64()), ("label_ns", pa.int64())])
ReplyRow = tuple[int, int, int, int, int, int, int, float, str, int, str, str, int, int, int]
LOG: Final = "decisions.parquet"  # only of a run that was to read it
_GROUP: Final = 16_384
_WITHHELD: Final[dict[str, object]] = {
    "sent_ns": NEVER, "seen_ns": NEVER, "replied_ns": NEVER, "attempts": 0, "status": 0, "outcome": Outcome.WITHHELD,
    "score": None, "decision": "", "source": Source.NONE, "version": "", "reasons": "", "also_touched": 0,
    "sent_digest": 0, "leak": 0,
}  # fmt: skip


class Document(msgspec.Struct, frozen=True):
    """``history.json``."""

    header: Header
    alerts: tuple[AlertRecord, ...]
    events: tuple[EventRecord, ...]
    notes: tuple[Note, ...]


class Writer:
    """Appends to one run's folder. Not for two writers at once; `close` makes the history readable."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "history.json").unlink(missing_ok=True)  # an unfinished run must not look finished
        (folder / LOG).unlink(missing_ok=True)
        self.folder = folder
        self._plan_schema = pa.schema([(name, ITEM_COLUMNS[name]) for name in PLAN_COLUMNS])
        self._plan = _file(folder / "plan.parquet", self._plan_schema)
        self._replies = _file(folder / "replies.parquet", REPLY_SCHEMA)
        self._labels = _file(folder / "labels.parquet", LABEL_SCHEMA)
        self._pending: list[ReplyRow] = []
        self._withheld: list[int] = []
        self._arrived, self._arrived_ns = array("q"), array("q")  # items whose labels came, and when

    def planned(self, columns: dict[str, np.ndarray]) -> None:
        """A chunk of the plan, before any of it is sent."""
        arrays = [pa.array(columns[f.name], type=f.type) for f in self._plan_schema]
        self._plan.write_table(pa.table(arrays, schema=self._plan_schema))

    def replied(self, rows: Iterable[ReplyRow]) -> None:
        """Concluded items."""
        self._pending.extend(rows)
        if len(self._pending) >= _GROUP:
            self._flush_replies()

    def withheld(self, items: Iterable[int]) -> None:
        """Items that nobody sends after what the service decided."""
        self._withheld.extend(items)
        if len(self._withheld) >= _GROUP:
            self._flush_withheld()

    def logged(self, lines: Sequence[bytes]) -> None:
        """The service's decision log, all of it, once."""
        pq.write_table(pa.table([pa.array(lines, pa.binary())], schema=LOG_SCHEMA), self.folder / LOG)

    def labelled(self, items: Iterable[int], at_ns: int) -> None:
        """The labels of these items were delivered and acknowledged."""
        self._arrived.extend(items)
        self._arrived_ns.extend(repeat(at_ns, len(self._arrived) - len(self._arrived_ns)))
        if len(self._arrived) >= _GROUP:
            self._flush_labels()

    def _flush_replies(self) -> None:
        table = _table(self._pending, REPLY_SCHEMA)
        # S11: scores are compared at six decimals, whatever a codec decoded.
        scores = pa.array(np.round(table.column("score").to_numpy(), 6))
        self._replies.write_table(table.set_column(SCORE, REPLY_SCHEMA.field(SCORE), scores))
        self._pending.clear()

    def _flush_withheld(self) -> None:
        items = pa.array(self._withheld, pa.int64())
        same = [pa.repeat(pa.scalar(_WITHHELD[f.name], f.type), len(items)) for f in REPLY_SCHEMA if f.name != "item"]
        self._replies.write_table(pa.table([items, *same], schema=REPLY_SCHEMA))
        self._withheld.clear()

    def _flush_labels(self) -> None:
        self._labels.write_table(pa.table([np.array(self._arrived), np.array(self._arrived_ns)], schema=LABEL_SCHEMA))
        self._arrived, self._arrived_ns = array("q"), array("q")

    def close(
        self,
        header: Header,
        *,
        alerts: tuple[AlertRecord, ...],
        events: tuple[EventRecord, ...],
        notes: tuple[Note, ...],
    ) -> None:
        """Flush the columns and write the document, still without a digest (see `seal`)."""
        self._flush_replies()
        self._flush_withheld()
        self._flush_labels()
        for file in (self._plan, self._replies, self._labels):
            file.close()
        write_document(self.folder, Document(header, alerts, events, notes))


def write_document(folder: Path, document: Document) -> None:
    """Write ``history.json`` readably."""
    (folder / "history.json").write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1))


def _file(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Numbers as differences, words through a dictionary: half the time and half the bytes of Parquet's defaults."""
    words = [field.name for field in schema if pa.types.is_string(field.type)]
    whole = {field.name: "DELTA_BINARY_PACKED" for field in schema if pa.types.is_int64(field.type)}
    return pq.ParquetWriter(path, schema, use_dictionary=words or False, column_encoding=whole)


def _table(rows: Sequence[tuple[object, ...]], schema: pa.Schema) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else ((),) * len(schema)
    return pa.table([pa.array(c, type=f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)

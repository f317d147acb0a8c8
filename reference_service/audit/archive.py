"""Full log files as Parquet: one row a decision, its payload beside it, and the exact line that the chain covers.

    pandas.read_parquet("folder/sealed")

An archive is written beside the file, moved into place in one step, and only then are the originals deleted.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from reference_service.audit.decision_log import Block
from reference_service.audit.files import (
    ANCHOR,
    RECORDS,
    Anchor,
    LogBroken,
    anchor,
    follow,
    payloads_of,
    segments,
)
from reference_service.audit.records import Decision, Payload, digest, unpacked

SEALED: Final = "sealed"
_VALUES: Final = pa.list_(pa.float64())
SCHEMA: Final = pa.schema(
    [
        ("seq", pa.int64()), ("at", pa.timestamp("ns", tz="UTC")), ("id", pa.string()), ("row", pa.int32()),
        ("rows", pa.int32()), ("version", pa.string()), ("bundle", pa.string()), ("policy", pa.string()),
        ("score", pa.float64()), ("anomaly", pa.float64()), ("decision", pa.string()), ("source", pa.string()),
        ("reasons", pa.string()), ("key", pa.string()), ("received", _VALUES), ("used", _VALUES),
        ("entity", pa.string()), ("body", pa.string()), ("erased", pa.bool_()), ("payload", pa.string()),
        ("line", pa.binary()), ("seal", pa.binary()),  # under the last record of a block
        ("written", pa.binary()),  # the payload's line, which its digest covers
    ]
)  # fmt: skip


class Archive(NamedTuple):
    """One Parquet file of the log."""

    path: Path

    def last_seq(self) -> int:
        """The number of its last record, from the file's statistics."""
        groups = pq.read_metadata(self.path)
        return int(groups.row_group(groups.num_row_groups - 1).column(0).statistics.max)

    def lines(self) -> Iterator[bytes]:
        """The lines that the chain covers, seals included."""
        table = pq.read_table(self.path, columns=["line", "seal"])
        for line, seal in zip(table.column("line").to_pylist(), table.column("seal").to_pylist(), strict=True):
            yield line
            if seal is not None:
                yield seal


def archived(folder: Path) -> list[Archive]:
    """Archives, oldest first."""
    return [Archive(path) for path in sorted((folder / SEALED).glob("*.parquet"))]


def seal(folder: Path) -> list[Path]:
    """Turn full files into archives; the archives written. Raises LogBroken before anything is deleted.

    The newest full file stays: whoever starts on this folder reads in its last line where the chain goes on.
    """
    (folder / SEALED).mkdir(exist_ok=True)
    tail = anchor(folder)
    for archive in archived(folder):
        tail = follow(tail, archive.lines(), str(archive.path))
    written = []
    for records in segments(folder)[:-1]:
        payloads = payloads_of(records)
        tail = follow(tail, records.read_bytes().splitlines(keepends=True), str(records))
        target = folder / SEALED / records.with_suffix(".parquet").name
        _replace(target, pa.Table.from_pylist(list(_rows(records, payloads)), schema=SCHEMA))
        written.append(target)
        records.unlink()
        payloads.unlink()
    return written


def erase(folder: Path, request_id: str, now_ns: int) -> int:
    """Erase every payload of that request, wherever it lies; how many. The records stay, and the chain verifies.

    Not while a service writes to the folder: an active file is rewritten.
    """
    erased = 0
    for archive in archived(folder):
        table = pq.read_table(archive.path)
        rows = table.to_pylist()
        hit = [row for row in rows if row["id"] == request_id and not row["erased"]]
        for row in hit:
            row.update(received=None, used=None, entity=None, body=None, written=None, erased=True)
        if hit:
            _replace(archive.path, pa.Table.from_pylist(rows, schema=table.schema))
        erased += len(hit)
    for records in [*segments(folder), folder / RECORDS]:
        if not records.exists():
            continue
        wanted = {d.seq for d, _ in _decisions(records) if d.id == request_id}
        payloads = payloads_of(records)
        lines = payloads.read_bytes().splitlines(keepends=True)
        for i, line in enumerate(lines):
            payload = msgspec.json.decode(line, type=Payload)
            if payload.seq in wanted and payload.erased_ns is None:
                lines[i] = msgspec.json.encode(Payload(payload.seq, None, erased_ns=now_ns)) + b"\n"
                erased += 1
        if wanted:
            fresh = payloads.with_suffix(".new")
            fresh.write_bytes(b"".join(lines))
            fresh.rename(payloads)
    return erased


def retain(folder: Path, since_ns: int) -> list[Path]:
    """Delete archives whose decisions are all older; the chain then begins at an anchor. What was deleted."""
    deleted = []
    tail = anchor(folder)
    for archive in archived(folder):
        newest = pq.read_table(archive.path, columns=["at"]).column("at").cast(pa.int64()).to_pylist()[-1]
        if newest >= since_ns:
            break
        tail = follow(tail, archive.lines(), str(archive.path))
        fresh = folder / f"{ANCHOR}.new"
        fresh.write_bytes(msgspec.json.encode(Anchor(tail.block, tail.head.hex(), tail.seq)))
        fresh.rename(folder / ANCHOR)
        archive.path.unlink()
        deleted.append(archive.path)
    return deleted


def check_payloads(folder: Path) -> tuple[int, int]:
    """(payloads that are there, payloads erased), each held against its record's digest.

    Raises:
        LogBroken: one is gone or another; or a column of an archive says otherwise than the line that the chain covers.
    """
    archives = (
        _unarchived(row, each.path)[1] for each in archived(folder) for row in pq.read_table(each.path).to_pylist()
    )
    files = (payload for records in [*segments(folder), folder / RECORDS] for payload in _payloads(records))
    erased = [payload.erased_ns is not None for payload in chain(archives, files)]
    return erased.count(False), erased.count(True)


def _payloads(records: Path) -> Iterator[Payload]:
    """Those of a file of records, if it is there."""
    if records.exists():
        for _, payload in written(records):
            yield payload


def passed(folder: Path, head: str) -> bool:
    """Whether a block of the folder ends in this head (hex), exported at some time before."""
    seals = [line for each in archived(folder) for line in each.lines() if line.startswith(b'{"block":')]
    for path in [*segments(folder), folder / RECORDS]:
        if path.exists():
            seals += [line for line in path.read_bytes().splitlines() if line.startswith(b'{"block":')]
    return any(msgspec.json.decode(line, type=Block).head == head for line in seals)


def find(folder: Path, request_id: str, row: int = 0) -> tuple[Decision, Payload]:
    """The latest decision on a row of a request, and its payload. Raises KeyError, or LogBroken as `found` does."""
    for each in found(folder, request_id, row):
        return each
    raise KeyError(request_id)


def found(folder: Path, request_id: str, row: int = 0) -> Iterator[tuple[Decision, Payload]]:
    """Every decision on a row of a request, the latest first; several only if it was asked again without a key.

    Raises:
        LogBroken: a payload is not the one that its record names.
    """
    for records in [folder / RECORDS, *reversed(segments(folder))]:
        made = _decisions(records) if records.exists() else ()
        wanted = [decision for decision, _ in made if (decision.id, decision.row) == (request_id, row)]
        kept = _kept(payloads_of(records)) if wanted else {}
        for decision in reversed(wanted):
            yield decision, _payload(kept, decision, payloads_of(records))
    for archive in reversed(archived(folder)):
        rows = pq.read_table(archive.path, filters=[("id", "=", request_id), ("row", "=", row)]).to_pylist()
        for each in reversed(rows):
            yield _unarchived(each, archive.path)


def written(records: Path) -> Iterator[tuple[Decision, Payload]]:
    """Every decision of a file that is no archive yet, with its payload. Raises LogBroken as `found` does."""
    made = list(_decisions(records))  # read first: while it is being written to, what has a record has its payload
    kept = _kept(payloads_of(records))
    for decision, _ in made:
        yield decision, _payload(kept, decision, payloads_of(records))


def _unarchived(row: dict[str, Any], where: Path) -> tuple[Decision, Payload]:
    """What an archive's row was made of. Raises LogBroken if its columns are not what was written."""
    decision = msgspec.json.decode(row["line"], type=Decision)
    said = row | {"at_ns": row["at"].value}
    if any(said[name] != getattr(decision, name) for name in decision.__struct_fields__):
        raise LogBroken(f"{where}: the columns of decision {decision.seq} are not what its line says")
    if row["erased"]:
        return decision, Payload(decision.seq, None, erased_ns=0)
    line = row.get("written")
    if line is None:
        raise LogBroken(f"{where}: the payload of decision {decision.seq} is not there as it was written")
    payload = _payload({decision.seq: (msgspec.json.decode(line, type=Payload), line)}, decision, where)
    if _shown(payload) != {name: row[name] for name in _shown(payload)}:
        raise LogBroken(f"{where}: the values of decision {decision.seq} are not what its payload says")
    return decision, payload


def _kept(payloads: Path) -> dict[int, tuple[Payload, bytes]]:
    """Payloads of a file and the lines that they are, by the numbers of their decisions."""
    lines = [line[:-1] for line in payloads.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    return {(payload := msgspec.json.decode(line, type=Payload)).seq: (payload, line) for line in lines}


def _payload(kept: dict[int, tuple[Payload, bytes]], decision: Decision, where: Path) -> Payload:
    """A decision's own. Raises LogBroken if it is gone, or is another than was written."""
    if decision.seq not in kept:
        raise LogBroken(f"{where}: the payload of decision {decision.seq} is gone")
    payload, line = kept[decision.seq]
    if payload.erased_ns is None and digest(line) != decision.payload:
        raise LogBroken(f"{where}: the payload of decision {decision.seq} is another than was written")
    return payload


def _decisions(path: Path) -> Iterator[tuple[Decision, bytes]]:
    """Records of a file; what was never committed is left out."""
    waiting: list[tuple[Decision, bytes]] = []
    for line in path.read_bytes().splitlines(keepends=True):
        if line.startswith(b'{"block":'):
            yield from waiting
            waiting = []
        elif line.endswith(b"\n"):
            waiting.append((msgspec.json.decode(line, type=Decision), line))


def _rows(records: Path, payloads: Path) -> Iterator[dict[str, Any]]:
    """Rows of an archive, from the files that it replaces. Raises LogBroken if a payload is not its record's."""
    kept = _kept(payloads)
    rows: list[dict[str, Any]] = []
    for line in records.read_bytes().splitlines(keepends=True):
        if line.startswith(b'{"block":'):
            msgspec.json.decode(line, type=Block)
            rows[-1]["seal"] = line
            yield from rows
            rows = []
            continue
        d = msgspec.json.decode(line, type=Decision)
        payload = _payload(kept, d, payloads)
        erased, whole = payload.erased_ns is not None, kept[d.seq][1]
        rows.append(
            {
                **{name: getattr(d, name) for name in d.__struct_fields__ if name != "at_ns"}, "at": d.at_ns,
                **_shown(payload), "erased": erased,
                "line": line, "seal": None, "written": None if erased else whole,
            }
        )  # fmt: skip


def _shown(payload: Payload) -> dict[str, Any]:
    """A payload in an archive's columns."""
    entity = None if payload.entity is None else str(payload.entity)
    return {
        "received": _values(payload.received), "used": _values(payload.used), "entity": entity, "body": payload.body
    }  # fmt: skip


def _values(packed: bytes | None) -> list[float | None] | None:
    """A row's values as a column has them: null where they are NaN."""
    if packed is None:
        return None
    return [None if math.isnan(value) else value for value in unpacked(packed).tolist()]


def _replace(path: Path, table: pa.Table) -> None:
    fresh = path.with_suffix(".new")
    pq.write_table(table, fresh, compression="zstd")
    with fresh.open("rb") as file:
        os.fsync(file.fileno())
    fresh.rename(path)


__all__ = ["SCHEMA", "Archive", "archived", "check_payloads", "erase", "find", "found", "retain", "seal", "written"]

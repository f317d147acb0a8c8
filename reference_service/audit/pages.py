"""The log as others may read it: whole blocks, byte for byte as they are on disk, a page at a time."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from reference_service.audit.decision_log import Block
from reference_service.audit.files import RECORDS, SEAL, anchor, last_seal, segments

_TAIL = 4096  # bytes in which the last seal of a file stands


def page(folder: Path, after: int, limit: int) -> bytes:
    """Blocks with records after that number, until there are `limit` of them or the log ends. Empty: there are none.

    Raises:
        LookupError: what would follow has been deleted by retention.
        FileNotFoundError: a file was archived meanwhile; ask again.
    """
    if after + 1 < anchor(folder).seq:
        raise LookupError("records before this have been deleted")
    found: list[bytes] = []
    block: list[bytes] = []
    rows, reached = 0, after + 1
    for line in _lines(folder, reached):
        block.append(line)
        if not line.startswith(SEAL):
            continue
        seal = msgspec.json.decode(line, type=Block)
        if seal.next_seq > reached:
            found += block
            rows, reached = rows + seal.rows, seal.next_seq
        block = []
        if rows >= limit:
            break
    return b"".join(found)


def _lines(folder: Path, wanted: int) -> Iterator[bytes]:
    """Lines of every file that may hold records from `wanted` on. The file in use is read first, and comes last.

    What is filled and renamed meanwhile is then seen twice, and not never.
    """
    newest = (folder / RECORDS).read_bytes().splitlines(keepends=True)
    if (folder / "sealed").exists():
        from reference_service.audit.archive import archived  # noqa: PLC0415 - only readers of archives need pyarrow

        for archive in archived(folder):
            if archive.last_seq() >= wanted:
                yield from archive.lines()
    for path in segments(folder):
        if last_seal(_end(path)).next_seq > wanted:
            yield from path.read_bytes().splitlines(keepends=True)
    yield from _whole(newest)


def _whole(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Lines up to the first one that is not written to its end."""
    for line in lines:
        if not line.endswith(b"\n"):
            return
        yield line


def _end(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-min(_TAIL, path.stat().st_size), os.SEEK_END)
        return file.read()

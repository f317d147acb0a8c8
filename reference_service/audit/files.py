"""The log on disk: records and payloads in files of their own, resumed after a crash, verified by anybody.

``decisions.jsonl`` holds records and, under each block, its seal; ``payloads.jsonl`` one line a record. Full files are
renamed to ``decisions-N.jsonl`` and ``payloads-N.jsonl``, N being their last block; `archive.py` turns those into
Parquet. ``anchor.json`` says where the chain begins once older files have been deleted.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from reference_service.audit.decision_log import GENESIS, Block

RECORDS: Final = "decisions.jsonl"
PAYLOADS: Final = "payloads.jsonl"
ANCHOR: Final = "anchor.json"
SEGMENT: Final = 1 << 24  # bytes of records: about 50,000 decisions, verified in a blink on a restart
SEAL: Final = b'{"block":'


class LogBroken(RuntimeError):  # noqa: N818  # named after the state of the log
    """The log on disk is not the one that was written."""


class Tail(NamedTuple):
    """Where a chain ends."""

    block: int = 0
    head: bytes = GENESIS
    seq: int = 0  # of the next record
    offset: int = 0  # bytes of the last file up to and with the last seal; what follows was never committed
    lost: int = 0


class Anchor(msgspec.Struct, frozen=True):
    """Where the chain begins after retention has deleted what came before."""

    block: int
    head: str
    next_seq: int


class FileSink:
    """Appends whole blocks to a folder's files. Resumes what is there.

    Args:
        folder: one per process; two writers would tear each other's chain.
        segment: bytes of records after which a file is full.

    Raises:
        LogBroken: the file to go on with does not verify.
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path, segment: int = SEGMENT) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._segment = folder, segment
        _finish_rotation(folder)
        (folder / RECORDS).touch()
        (folder / PAYLOADS).touch()
        self.tail = _last(folder)
        os.truncate(folder / RECORDS, self.tail.offset)
        os.truncate(folder / PAYLOADS, _committed_payloads(folder / PAYLOADS, self.tail.seq))
        self._open()

    def _open(self) -> None:
        self._records = (self._folder / RECORDS).open("ab", buffering=0)
        self._payloads = (self._folder / PAYLOADS).open("ab", buffering=0)
        self._sizes = tuple((self._folder / name).stat().st_size for name in (RECORDS, PAYLOADS))

    def __call__(self, records: bytes, payloads: bytes) -> None:
        """See `decision_log.Sink`. Payloads first: a record that is there has its payload."""
        try:
            for file, data in ((self._payloads, payloads), (self._records, records)):
                view = memoryview(data)
                while view:
                    view = view[file.write(view) :]
        except OSError:
            # A block that is there in part would be there twice after the next attempt.
            self._records.truncate(self._sizes[0])
            self._payloads.truncate(self._sizes[1])
            raise
        self._sizes = self._sizes[0] + len(records), self._sizes[1] + len(payloads)
        if self._sizes[0] >= self._segment:
            self._rotate(records)

    def _rotate(self, last: bytes) -> None:
        self.close()
        block = last_seal(last).block
        # Payloads first, and `_finish_rotation` knows it: a crash in between leaves payloads without their records.
        for name in (PAYLOADS, RECORDS):
            (self._folder / name).rename(self._folder / _numbered(name, f"{block:09d}"))
        self._open()

    def close(self) -> None:
        """Close the files."""
        self._records.close()
        self._payloads.close()


def logs(folder: Path) -> list[Path]:
    """The folders of the logs in a folder: itself, or one for each of several workers."""
    workers = sorted(found for found in folder.glob("worker-*") if found.is_dir())
    own = [folder] if not workers or (folder / RECORDS).exists() else []
    return [*own, *workers]


def segments(folder: Path, name: str = RECORDS) -> list[Path]:
    """Full files, oldest first."""
    return sorted(folder.glob(_numbered(name, "*")))


def payloads_of(records: Path) -> Path:
    """The file of the payloads that belong to a file of records."""
    return records.with_name(records.name.replace("decisions", "payloads"))


def anchor(folder: Path) -> Tail:
    """Where the folder's chain begins."""
    path = folder / ANCHOR
    if not path.exists():
        return Tail()
    found = msgspec.json.decode(path.read_bytes(), type=Anchor)
    return Tail(found.block, bytes.fromhex(found.head), found.next_seq)


def follow(tail: Tail, lines: Iterable[bytes], where: str) -> Tail:
    """The chain's end after these lines. Lines after the last seal are not counted. Raises LogBroken."""
    records: list[bytes] = []
    offset, tail = 0, tail._replace(offset=0)
    for line in lines:
        offset += len(line)
        if not line.startswith(SEAL):
            records.append(line)
            continue
        if not line.endswith(b"\n"):
            break  # torn: never acknowledged
        try:
            seal = msgspec.json.decode(line, type=Block)
        except msgspec.DecodeError:
            raise LogBroken(f"{where}: the seal after block {tail.block} cannot be read") from None
        head = hashlib.sha256(tail.head + b"".join(records)).digest()
        expected = (tail.block + 1, len(records), tail.seq + len(records), tail.head.hex(), head.hex())
        if (seal.block, seal.rows, seal.next_seq, seal.previous, seal.head) != expected:
            raise LogBroken(f"{where}: block {seal.block} does not match its records, or block {tail.block} before it")
        tail = Tail(seal.block, head, seal.next_seq, offset, seal.lost)
        records = []
    return tail


def _numbered(name: str, number: str) -> str:
    return name.replace(".", f"-{number}.")


def last_seal(lines: bytes) -> Block:
    """The seal that ends a file."""
    return msgspec.json.decode(lines[lines.rstrip(b"\n").rfind(b"\n") + 1 :], type=Block)


def _last(folder: Path) -> Tail:
    """Where the folder's chain ends. Older files are taken at the word of their last line; `verify.py` reads them."""
    tail, full = anchor(folder), segments(folder)
    if full:
        seal = last_seal(full[-1].read_bytes())
        tail = Tail(seal.block, bytes.fromhex(seal.head), seal.next_seq, 0, seal.lost)
    return follow(tail, (folder / RECORDS).read_bytes().splitlines(keepends=True), str(folder / RECORDS))


def _finish_rotation(folder: Path) -> None:
    """Rename the records whose payloads have been renamed already."""
    for payloads in segments(folder, PAYLOADS):
        records = payloads.with_name(payloads.name.replace("payloads", "decisions"))
        if not records.exists() and (folder / RECORDS).exists():
            (folder / RECORDS).rename(records)


def _committed_payloads(path: Path, next_seq: int) -> int:
    """Bytes of a payload file up to and with the last record that was committed."""
    offset = 0
    for line in path.read_bytes().splitlines(keepends=True):
        if not line.endswith(b"\n") or msgspec.json.decode(line, type=_Numbered).seq >= next_seq:
            break
        offset += len(line)
    return offset


class _Numbered(msgspec.Struct):
    seq: int

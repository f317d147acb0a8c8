"""What a decision log says, read from its very lines: records, the seals under them, and whether they hold.

A line is a JSON object. One with `block` is a seal: `head` is SHA-256 of `previous` and of the lines since the seal
before, each with its newline; `rows` is how many these are. Any other line is a record: `seq`, the request's `id`, the
`row` in it, and what was answered: `score`, `decision`, `version`, `source`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import msgspec

from simulator.checks.premises import PremiseError


class Record(msgspec.Struct, frozen=True, gc=False):
    """One answer of one row, as it was written down. What a log does not say stays at its default."""

    seq: int
    id: str
    row: int = 0
    score: float | None = None  # of a row that was refused: null
    decision: str = ""
    version: str = ""
    source: str = ""


class _Seal(msgspec.Struct, frozen=True):
    block: int
    rows: int
    previous: str
    head: str


@dataclass(frozen=True, slots=True)
class Reading:
    """Records in the log's order, and in words whatever shows that the log is not as it was written."""

    records: tuple[Record, ...]
    broken: tuple[str, ...]


def read(lines: Iterable[bytes]) -> Reading:
    """Follow the chain, then take the records. In a log with seals, what no seal covers is not in it.

    Raises:
        PremiseError: a line is neither a seal nor a record.
    """
    records: list[bytes] = []
    waiting: list[bytes] = []
    broken: list[str] = []
    head: str | None = None
    for line in lines:
        seal = _seal(line)
        if seal is None:
            waiting.append(line)
            continue
        if head is not None and seal.previous != head:
            broken.append(f"block {seal.block} does not follow on the block before it")
        covered = hashlib.sha256(_octets(seal.previous) + b"".join(waiting)).hexdigest()
        if (covered, len(waiting)) != (seal.head, seal.rows):
            broken.append(f"block {seal.block} is not what its seal says")
        head = seal.head
        records += waiting
        waiting = []
    if head is None:
        records = waiting
    try:
        told = tuple(map(msgspec.json.Decoder(Record).decode, records))
    except msgspec.DecodeError as error:
        if broken:  # the chain knows it already
            return Reading((), tuple(broken))
        raise PremiseError(
            f"decision log: a line is no record: {error}", "see the reference of `decisions` in the target file"
        ) from None
    for before, after in pairwise(told):
        if after.seq != before.seq + 1:
            broken.append(f"record {after.seq} follows on record {before.seq}")
    return Reading(told, tuple(broken))


def _seal(line: bytes) -> _Seal | None:
    try:
        return msgspec.json.decode(line, type=_Seal)
    except msgspec.DecodeError:
        return None


def _octets(digits: str) -> bytes:
    try:
        return bytes.fromhex(digits)
    except ValueError:
        return b""

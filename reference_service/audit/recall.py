"""The decisions of late that were made under an idempotency key, for a service that starts again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from reference_service.audit.files import RECORDS, segments
from reference_service.audit.records import Decision

_SEAL: Final = b'{"block":'
_UNKEYED: Final = b'"key":"",'
_decode = msgspec.json.Decoder(Decision).decode


def keyed(folder: Path, since_ns: int, size: int) -> list[Decision]:
    """Keyed decisions made since then, oldest first, from no more than the last `size` bytes of records.

    Archives are not read: what has been archived is not of late.
    """
    found: list[list[Decision]] = []
    for path in [folder / RECORDS, *reversed(segments(folder))]:
        if not path.exists():
            continue
        data = path.read_bytes()
        size -= len(data)
        if size < 0:
            break
        found.append([one for one in _read(data) if one.at_ns >= since_ns])
        first = data.partition(b"\n")[0]
        if first and _decode(first).at_ns < since_ns:
            break
    return [one for file in reversed(found) for one in file]


def _read(data: bytes) -> Iterator[Decision]:
    for line in data.splitlines():
        if _UNKEYED not in line and not line.startswith(_SEAL):
            yield _decode(line)

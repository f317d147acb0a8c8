"""Whether a folder's log is as it was written: its archives, its full files and the open one are one chain."""

from __future__ import annotations

from pathlib import Path

from reference_service.audit.files import RECORDS, Tail, anchor, follow, segments


def verify(folder: Path) -> Tail:
    """Recompute the chain of a whole folder, Parquet archives included.

    Raises:
        LogBroken: naming the file and the first block that is not as it was written.
    """
    tail = anchor(folder)
    if (folder / "sealed").exists():
        from reference_service.audit.archive import archived  # noqa: PLC0415 - only readers of archives need pyarrow

        for archive in archived(folder):
            tail = follow(tail, archive.lines(), str(archive.path))
    for path in [*segments(folder), folder / RECORDS]:
        tail = follow(tail, path.read_bytes().splitlines(keepends=True) if path.exists() else (), str(path))
    return tail

"""Under which id a request is sent: its labels come back under it, and the service's decision log names it."""

from __future__ import annotations

from collections.abc import Iterable


def request_ids(streams: Iterable[str], indices: Iterable[int], copies: Iterable[int]) -> list[str]:
    """Ids by the keys of first rows: ``main-12``, a duplicate ``main-12~1``."""
    return [
        f"{stream}-{index}~{copy}" if copy else f"{stream}-{index}"
        for stream, index, copy in zip(streams, indices, copies)  # noqa: B905 - columns of one table
    ]

"""What was received, before any default: rows are set down as they came and counted in cells later, many at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from reference_service.bundle import Bundle
from reference_service.core.cells import NULL_CELL

_ROWS = 4096  # set down before they are counted; half a megabyte


class Received:
    """Counts of received values by field and cell, since the last `take`.

    Args:
        bundle: whose cells are counted.
    """

    __slots__ = ("_bundle", "_counts", "_filled", "_rows", "_unread")

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._rows = np.empty((_ROWS, len(bundle.contract.fields)))
        self._filled = 0
        self._counts = bundle.new_counts()
        self._unread = np.zeros(len(bundle.contract.fields), dtype=np.int64)

    def add(self, values: Any, unread: Sequence[int] = ()) -> None:
        """One row in contract order; `unread` are positions at which nothing countable was received (not a null)."""
        self._rows[self._filled] = values
        self._filled += 1
        if unread:
            for position in unread:
                self._unread[position] += 1
        if self._filled == _ROWS:
            self._count()

    def take(self) -> np.ndarray:
        """int64[f, 14] of what came since the last time."""
        self._count()
        counts = self._counts
        counts[:, NULL_CELL] -= self._unread
        self._counts = self._bundle.new_counts()
        self._unread[:] = 0
        return counts

    def _count(self) -> None:
        if self._filled:
            self._bundle.count(self._bundle.codes(self._rows[: self._filled]), self._counts)
            self._filled = 0

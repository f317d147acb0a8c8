"""What was received, before any default: rows are set down as they came and counted in cells later, many at once."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from reference_service.bundle import Bundle
from reference_service.core.cells import NULL_CELL

_ROWS = 256  # of a page; a full one is left to those who still read in it


class Received:
    """Counts of received values by field and cell, since the last `take`.

    Args:
        bundle: whose cells are counted.
    """

    __slots__ = ("_buffer", "_bundle", "_corrected", "_counted", "_counts", "_next", "_pack", "_rows", "_size",
                 "_unread", "_views")  # fmt: skip

    def __init__(self, bundle: Bundle) -> None:
        width = len(bundle.contract.fields)
        self._bundle = bundle
        # Packing through the buffer costs a third of an assignment through numpy.
        self._pack = struct.Struct(f"{width}d").pack_into
        self._size = 8 * width
        self._next = self._counted = 0
        self._turn_page()
        self._counts = bundle.new_counts()
        self._unread = np.zeros(width, dtype=np.int64)
        self._corrected = False  # whether any of it is to be taken off

    def put(self, values: Sequence[Any]) -> np.ndarray:
        """Set down one row in contract order; float64[f], for anybody to read and nobody to change."""
        slot = self._next
        self._pack(self._buffer, slot * self._size, *values)
        self._next = slot + 1
        if slot + 1 == _ROWS:
            return self._last_of_page()
        return self._views[slot]

    def unread(self, positions: Sequence[int]) -> None:
        """At these positions of a row nothing countable was received: what was put there is not a null."""
        for position in positions:
            self._unread[position] += 1
            self._corrected = True

    def take(self) -> np.ndarray:
        """int64[f, 14] of what came since the last time."""
        self._count()
        counts = self._counts
        self._counts = self._bundle.new_counts()
        if self._corrected:
            counts[:, NULL_CELL] -= self._unread
            self._unread[:] = 0
            self._corrected = False
        return counts

    def _last_of_page(self) -> np.ndarray:
        self._count()
        row = self._views[-1]
        self._turn_page()
        return row

    def _turn_page(self) -> None:
        width = len(self._bundle.contract.fields)
        self._buffer = bytearray(self._size * _ROWS)
        self._rows = np.frombuffer(self._buffer).reshape(_ROWS, width)
        self._views = list(self._rows)
        self._next = self._counted = 0

    def _count(self) -> None:
        if self._next > self._counted:
            self._bundle.count(self._rows[self._counted : self._next], self._counts)
            self._counted = self._next

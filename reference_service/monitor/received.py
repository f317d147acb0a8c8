"""What was received, before any default: rows are set down as they came and counted in cells later, many at once."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from reference_service.bundle import Bundle
from reference_service.core.cells import NULL_CELL

# Slots of the ring. One is written again only after so many further rows: the deadline cancels whatever still reads it.
_ROWS = 8192


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
        self._buffer = bytearray(8 * width * _ROWS)
        self._rows = np.frombuffer(self._buffer).reshape(_ROWS, width)
        self._views = list(self._rows)
        # Packing through the buffer costs a third of an assignment through numpy.
        self._pack = struct.Struct(f"{width}d").pack_into
        self._size = 8 * width
        self._next = 0
        self._counted = 0
        self._counts = bundle.new_counts()
        self._unread = np.zeros(width, dtype=np.int64)
        self._corrected = False  # whether any of it is to be taken off

    def put(self, values: Sequence[Any]) -> np.ndarray:
        """Set down one row in contract order; float64[f], for the model to read now and nobody to change."""
        slot = self._next
        self._pack(self._buffer, slot * self._size, *values)
        self._next = slot + 1
        if slot + 1 == _ROWS:
            self._count()
            self._next = self._counted = 0
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

    def _count(self) -> None:
        if self._next > self._counted:
            self._bundle.count(self._bundle.codes(self._rows[self._counted : self._next]), self._counts)
            self._counted = self._next

"""What is said between the service and the process of a foreign model: lengths and float64 values, and no objects.

A question is (rows, columns) and rows·columns values; an answer is (kind, count) and count values. Whole numbers are
uint32; all is little-endian.
"""

from __future__ import annotations

import struct
from typing import Final

import numpy as np

HEAD: Final = struct.Struct("<II")
READY: Final = 1  # once, when the model is loaded
MARGINS: Final = 2
RAISED: Final = 3  # the model did, or gave something that is no margins
CHANGED: Final = 4  # the artifact is not the one that was meant; nothing was loaded
ITEM: Final = 8  # bytes of a value


def question(values: np.ndarray) -> bytes:
    """float64[n, f] as bytes."""
    return HEAD.pack(*values.shape) + values.astype("<f8", order="C", copy=False).tobytes()


def answer(kind: int, margins: np.ndarray | None = None) -> bytes:
    """A kind, and float64[n] with `MARGINS`."""
    count = 0 if margins is None else len(margins)
    return HEAD.pack(kind, count) + (b"" if margins is None else margins.astype("<f8", copy=False).tobytes())

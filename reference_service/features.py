"""The embedded feature store: what is known of a customer, refreshed each full hour.

A stand-in for a remote store with the same manners: it is asked by key, says how old its answer is, and may be
wrapped by a call that is slow, fails, or answers from yesterday.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import numpy as np

REFRESH_NS: Final = 3600 * 1_000_000_000


class FeatureRow(msgspec.Struct, frozen=True, gc=False):
    """One answer. `values` are in the order of the store's columns, None or NaN where it knows nothing."""

    as_of_ns: int
    values: tuple[Any, ...]


StoreCall = Callable[[Any, int], "FeatureRow | Awaitable[FeatureRow]"]


class Features(Protocol):
    """A store that is called for a customer."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names, in the order of the values."""

    def __call__(self, entity: Any, now_ns: int, /) -> FeatureRow | Awaitable[FeatureRow]:
        """What is known of a customer. Whatever it raises is an outage."""


class FeatureStore:
    """A table in memory. Calling it is looking a customer up.

    Args:
        columns: names, in the order of the values.
        rows: entity → values.
    """

    __slots__ = ("_rows", "_unknown", "columns")

    def __init__(self, columns: tuple[str, ...], rows: Mapping[Any, tuple[Any, ...]]) -> None:
        self.columns = columns
        self._rows = rows
        self._unknown = (None,) * len(columns)

    def __call__(self, entity: Any, now_ns: int) -> FeatureRow:
        """Values of `entity` as of the last full hour; all None for a customer nobody knows yet."""
        return FeatureRow(now_ns - now_ns % REFRESH_NS, self._rows.get(entity, self._unknown))


def load(path: Path) -> FeatureStore:
    """The store of an ``.npz`` with ``entity_id`` and one array per column, all of one length."""
    with np.load(path, allow_pickle=False) as table:
        columns = tuple(name for name in table.files if name != "entity_id")
        keys = table["entity_id"].tolist()
        # Row by row, so that what is known of one customer lies together in memory.
        rows = np.rec.fromarrays([table[name] for name in columns]).tolist() if columns else []
        return FeatureStore(columns, dict(zip(keys, rows, strict=bool(columns))))

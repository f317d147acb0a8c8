"""The feature store in Redis: asked over the network by every replica, filled by whoever computes the features.

A customer's row lies under ``features:<entity>``, MessagePack; ``features:loaded`` says as of when, and in which
columns. Both are read in one round trip. A store that lost its data lacks the second, and so is known from one that
never heard of a customer: the first is an outage, the second an ordinary answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from reference_service.features import FeatureRow

if TYPE_CHECKING:
    from redis.asyncio import Redis

_LOADED: Final = "features:loaded"
_TOGETHER: Final = 1000  # rows a round trip of a load


class NotLoaded(LookupError):  # noqa: N818  # says what is the case
    """The store has nothing: it was never filled, or it has lost what it had."""


class Loaded(msgspec.Struct, frozen=True, array_like=True):
    """What a load leaves behind when it is complete."""

    as_of_ns: int
    columns: tuple[str, ...]


_encode = msgspec.msgpack.encode
_loaded = msgspec.msgpack.Decoder(Loaded).decode
_values = msgspec.msgpack.Decoder(tuple[Any, ...]).decode


class RedisFeatures:
    """A `StoreCall`.

    Args:
        client: of a Redis that answers in bytes.
        columns: in the order of the values that are given back.
    """

    __slots__ = ("_client", "_places", "_stored", "_unknown", "columns")

    def __init__(self, client: Redis, columns: Sequence[str]) -> None:
        self._client = client
        self.columns = tuple(columns)
        self._unknown = (None,) * len(self.columns)
        self._stored: tuple[str, ...] = self.columns  # as the load that was seen last has them
        self._places: tuple[int, ...] = tuple(range(len(self.columns)))

    async def __call__(self, entity: Any, _now_ns: int) -> FeatureRow:
        """Values of `entity` as of the last load; all None for a customer that the load did not know.

        Raises:
            NotLoaded: there is no complete load, or it lacks a column.
            redis.RedisError: the store does not answer.
        """
        loaded, row = cast("list[bytes | None]", await self._client.mget(_LOADED, f"features:{entity}"))
        if loaded is None:
            raise NotLoaded("nothing was loaded")
        known = _loaded(loaded)
        if known.columns != self._stored:
            lacking = sorted(set(self.columns) - set(known.columns))
            if lacking:
                raise NotLoaded(f"the load lacks {', '.join(lacking)}")
            self._stored = known.columns
            self._places = tuple(map(known.columns.index, self.columns))
        if row is None:
            return FeatureRow(known.as_of_ns, self._unknown)
        values = _values(row)
        return FeatureRow(known.as_of_ns, tuple([values[place] for place in self._places]))


async def loaded(client: Redis) -> Loaded | None:
    """What the last complete load left behind; None if there was none."""
    found = cast("bytes | None", await client.get(_LOADED))
    return None if found is None else _loaded(found)


async def load(client: Redis, columns: Sequence[str], rows: Iterable[tuple[Any, Sequence[Any]]], as_of_ns: int) -> int:
    """Write (entity, values) rows, then what they are; the number of rows.

    Replicas that read meanwhile find new rows under the old date, never old rows under the new one.
    """
    written, batch = 0, {}
    for entity, values in rows:
        batch[f"features:{entity}"] = _encode(tuple(values))
        if len(batch) == _TOGETHER:
            await client.mset(batch)
            written += len(batch)
            batch = {}
    if batch:
        await client.mset(batch)
        written += len(batch)
    await client.set(_LOADED, _encode(Loaded(as_of_ns, tuple(columns))))
    return written

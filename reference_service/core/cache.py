"""Margins that are known already, by what determines them. Bounded in bytes; what is not asked for again goes first.

A key is the bundle's digest and the row's codes: rows of the same codes are the same row to the forest, so that a hit
is exact and not a neighbour. Decisions are not kept: they are made anew of the margin, by whatever policy holds then.
A swap needs no clearing either, because another bundle has other keys.

A hit costs coding the row and a look into a dict, about 1 µs, and a miss costs that for nothing. A forest of 200 trees
of 31 leaves scores a row in that time, so that no hit rate makes a cache worth it; 2,000 trees take seven times as long
(`python -m benchmarks.core`). Hence `pays`; and `Cache.worth` turns it off while too few rows come again. Both count
and do not time: otherwise two machines would answer one request from different sources.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

_ENTRY: Final = 200  # bytes around a key: bytes object, dict entry, float, slot
_BLOCKS: Final = 48  # of a forest, from which on scoring costs five hits: 1,500 trees of 31 leaves
_SHARE: Final = 0.2  # of lookups that must hit, accordingly
_WINDOW: Final = 4096  # lookups that are judged together
_REST: Final = (
    16 * _WINDOW
)  # lookups not made after a window that was not worth it: looking costs 6 % of looking always


def pays(blocks: int) -> bool:
    """Whether a forest of so many blocks is slow enough for rows that come again to be remembered."""
    return blocks >= _BLOCKS


class Recalled(float):
    """A margin that comes from a cache."""

    __slots__ = ()


class Cache:
    """Margins by key, evicted by CLOCK: a hand goes round, and takes the first entry not asked for since it came by.

    CLOCK: Corbató, A paging experiment with the Multics system (1968).

    Args:
        limit: bytes that keys and what surrounds them may take, estimated.
        always: never rest, however few lookups hit; for a model that is slower than any forest.
    """

    __slots__ = ("_again", "_always", "_bytes", "_free", "_hand", "_keys", "_limit", "_lookups", "_margins", "_rest",
                 "_slots", "_won", "evictions", "hits", "misses")  # fmt: skip

    def __init__(self, limit: int, *, always: bool = False) -> None:
        self._limit = limit
        self._always = always
        self._bytes = 0
        self._slots: dict[bytes, int] = {}
        self._keys: list[bytes] = []  # by slot; b"" where it is free
        self._margins: list[Recalled] = []
        self._again = bytearray()
        self._free: list[int] = []
        self._hand = 0
        self._rest = 0
        self._lookups = 0
        self._won = 0  # hits when the window began
        self.hits = 0
        self.misses = 0
        self.evictions = 0

    def __len__(self) -> int:
        return len(self._slots)

    def worth(self) -> bool:
        """Whether to look now. To be asked once before each request."""
        if self._rest:
            self._rest -= 1
            return False
        return True

    def get(self, key: bytes) -> Recalled | None:
        """The margin, if it is known."""
        self._lookups += 1
        if self._lookups == _WINDOW:
            if self.hits - self._won < _SHARE * _WINDOW and not self._always:
                self._rest = _REST
            self._lookups, self._won = 0, self.hits
        slot = self._slots.get(key)
        if slot is None:
            self.misses += 1
            return None
        self.hits += 1
        self._again[slot] = 1
        return self._margins[slot]

    def put(self, key: bytes, margin: float) -> None:
        """Remember a margin that `get` did not know."""
        if key in self._slots:  # two requests missed it at the same time
            return
        size = _ENTRY + len(key)
        while self._slots and self._bytes + size > self._limit:
            self._evict()
        if self._bytes + size > self._limit:
            return
        self._bytes += size
        if self._free:
            slot = self._free.pop()
            self._keys[slot], self._margins[slot], self._again[slot] = key, Recalled(margin), 0
        else:
            slot = len(self._keys)
            self._keys.append(key)
            self._margins.append(Recalled(margin))
            self._again.append(0)
        self._slots[key] = slot

    def _evict(self) -> None:
        while True:
            slot = self._hand
            self._hand = (slot + 1) % len(self._keys)
            key = self._keys[slot]
            if key and not self._again[slot]:
                break
            self._again[slot] = 0
        del self._slots[key]
        self._keys[slot] = b""
        self._free.append(slot)
        self._bytes -= _ENTRY + len(key)
        self.evictions += 1


class Known:
    """What a cache knows of one bundle.

    Args:
        cache: shared with other bundles.
        digest: the bundle's, in hex.
        width: fields of a row.
        encode: writes the uint8[n, f] codes of float64[n, f] values into its second argument.
    """

    __slots__ = ("_encode", "_key", "_row", "get", "put", "worth")

    def __init__(self, cache: Cache, digest: str, width: int, encode: Callable[[np.ndarray, np.ndarray], None]) -> None:
        prefix = np.frombuffer(bytes.fromhex(digest), dtype=np.uint8)
        self._encode = encode
        self._key = np.concatenate([prefix, np.zeros(width, dtype=np.uint8)])  # written again for every key
        self._row = self._key[len(prefix) :][None]
        self.get = cache.get
        self.put = cache.put
        self.worth = cache.worth

    def key(self, row: np.ndarray) -> bytes:
        """The key of float64[1, f]."""
        self._encode(row, self._row)
        return self._key.tobytes()

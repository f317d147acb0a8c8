"""Who gets the canary: a keyed hash of the entity, so that a customer always meets the same version."""

from __future__ import annotations

import hashlib
from typing import Any, Final

_MASK: Final = (1 << 64) - 1


class Split:
    """A share of entities, chosen anew for each release.

    Args:
        release: names the release and keys the hash: two releases do not burden the same customers.
        share: in [0, 1].
    """

    __slots__ = ("_key", "_limit", "_release", "share")

    def __init__(self, release: str, share: float) -> None:
        self._release = release
        self.share = share
        self._key = int.from_bytes(hashlib.blake2b(release.encode(), digest_size=8).digest(), "little")
        self._limit = round(share * 2**64)

    def takes(self, entity: Any) -> bool:
        """Whether this entity belongs to the share."""
        return self._mixed(entity) < self._limit

    def crowd(self, entity: Any) -> int:
        """1 … 255: one of so many crowds of whole customers, by the bits of the hash that `takes` hardly looks at."""
        return 1 + self._mixed(entity) % 255

    def _mixed(self, entity: Any) -> int:
        if type(entity) is not int:
            digest = hashlib.blake2b(str(entity).encode(), digest_size=8).digest()
            entity = int.from_bytes(digest, "little")
        # The finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
        z: int = (entity * 0x9E3779B97F4A7C15 + self._key) & _MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return z ^ (z >> 31)

    def widened(self, share: float) -> Split:
        """Another share by the same hash: whoever is in the smaller one is in the larger one, too."""
        return Split(self._release, share)

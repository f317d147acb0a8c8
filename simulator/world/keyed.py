"""Keyed draws: every random number is a pure function of (seed, stream, purpose, index).

Adding a stream or a purpose therefore changes no other draw, and any row can be drawn alone, in any
order, in any chunk. Integer mixing only, so the same on every machine.

Mixer: the finaliser of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators,
OOPSLA 2014), applied once per key part.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import numpy as np

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_M1: Final = np.uint64(0xBF58476D1CE4E5B9)
_M2: Final = np.uint64(0x94D049BB133111EB)
_TO_UNIT: Final = 2.0**-53


def _mix(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * _M1
    z = (z ^ (z >> np.uint64(27))) * _M2
    mixed: np.ndarray = z ^ (z >> np.uint64(31))
    return mixed


def _name_key(*parts: str) -> int:
    """A 64-bit key of names; BLAKE2b so that related names are unrelated keys."""
    digest = hashlib.blake2b("\x1f".join(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


@dataclass(frozen=True, slots=True)
class Draw:
    """Draws of one stream under one seed: ``Draw(seed, "main").uniform("amount", index)``."""

    seed: int
    stream: str

    def bits(self, purpose: str, index: np.ndarray) -> np.ndarray:
        """uint64[n] of independent bits for the rows `index` (int64[n])."""
        key = np.uint64(_name_key(str(self.seed), self.stream, purpose))
        with np.errstate(over="ignore"):  # arithmetic is modulo 2**64 by intent
            return _mix(_mix(np.asarray(index).astype(np.uint64) * _GOLDEN + key) + _GOLDEN * key)

    def uniform(self, purpose: str, index: np.ndarray) -> np.ndarray:
        """float64[n] in [0, 1), 53 bits each."""
        return (self.bits(purpose, index) >> np.uint64(11)).astype(np.float64) * _TO_UNIT

    def below(self, purpose: str, index: np.ndarray, bound: int) -> np.ndarray:
        """int64[n] in [0, bound); bound < 2**31, so the bias of the multiply-shift is below 2**-32."""
        high = self.bits(purpose, index) >> np.uint64(32)
        return ((high * np.uint64(bound)) >> np.uint64(32)).astype(np.int64)

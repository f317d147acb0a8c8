"""Rows that nobody has been asked about: no cache can have an honest answer to them.

A server that mixes up who asks at once is right about whatever it knows already, so rows whose answers are known show
nothing of it. Each of these is put together of two sample rows that the server answers, column by column; it may be
one that the server refuses, which only its answer alone can tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count
from typing import Final

import numpy as np

from simulator.conformance.rows import SEED, Row
from simulator.world.keyed import Draw

_TRIES: Final = 50  # draws in a row that give nothing new, after which there is nothing


class Fresh:
    """Draws them, the same ones on every machine, none of them twice and none that is `known`."""

    def __init__(self, parents: Sequence[Row], known: Iterable[Row]) -> None:
        self._parents = parents
        self._known = {tuple(row.items()) for row in known}
        self._draw, self._next = Draw(SEED, "fresh"), count()

    def take(self, rows: int) -> list[Row]:
        """So many, or fewer if there are no more."""
        found: list[Row] = []
        in_vain = 0
        while len(found) < rows and in_vain < _TRIES:
            child = self._child(np.array([next(self._next)]))
            key = tuple(child.items())
            in_vain = in_vain + 1 if key in self._known else 0
            if not in_vain:
                self._known.add(key)
                found.append(child)
        return found

    def _child(self, index: np.ndarray) -> Row:
        mother, father = (
            self._parents[int(self._draw.below(which, index, len(self._parents))[0])] for which in ("one", "other")
        )
        turns = self._draw.bits("columns", index)[0]
        return {
            name: father[name] if name in father and turns >> np.uint64(k % 64) & np.uint64(1) else value
            for k, (name, value) in enumerate(mother.items())
        }

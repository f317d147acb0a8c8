"""What a population is: rows as production would see them, and their latent truth.

`rows` gives features, `truth` the label rule. They are apart because world disturbances act in between
(covariate drift changes rows *before* the truth is taken; concept drift changes the truth alone).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from simulator.world.keyed import Draw


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the request as clients send it. `spread` is the population's standard deviation (numbers).

    `minimum` and `maximum` bound what can be true, not what can be sent: a drifting world stays within them.
    """

    name: str
    kind: Literal["number", "integer", "category", "boolean"]
    spread: float = 0.0
    categories: tuple[str, ...] = ()
    minimum: float = -math.inf
    maximum: float = math.inf


@dataclass(frozen=True, slots=True)
class Rows:
    """n rows, columnar.

    `sent` holds one array per Field: float64 (null is NaN) or object of str|None. `latent` holds what truth depends
    on but clients do not send (a customer's history).
    """

    event_ns: np.ndarray  # int64[n], when it happened
    entity: np.ndarray  # int64[n], the customer, the flight
    segment: np.ndarray  # object[n], a group name for slices
    sent: dict[str, np.ndarray]
    latent: dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Truth:
    """The latent outcome of n rows. `label_after_ns` is -1 where the label never comes (a cancelled flight)."""

    label: np.ndarray  # int8[n]; -1 where there is none
    label_after_ns: np.ndarray  # int64[n], from event_ns


class Population(Protocol):
    """Synthetic or recorded production."""

    name: str
    fields: tuple[Field, ...]

    def rows(self, draw: Draw, index: np.ndarray, event_ns: np.ndarray) -> Rows:
        """Rows number `index` (int64[n]) of the stream that `draw` is bound to, happening at `event_ns`.

        A recorded population takes `index` as positions in the record and returns the recorded `event_ns`.
        """

    def truth(self, draw: Draw, index: np.ndarray, rows: Rows) -> Truth:
        """The label rule, applied to rows as they are now."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Part of a record: the rows [first, last), replayed from `start_ns` to `end_ns` of the record's own clock."""

    first: int
    last: int
    start_ns: int
    end_ns: int


@runtime_checkable
class Recorded(Population, Protocol):
    """A population whose rows happened once, in an order of their own."""

    def slice(self, start: str, end: str) -> Slice:
        """The rows from the first day to the last, exclusive (ISO dates); ValueError if the record has none."""

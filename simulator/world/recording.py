"""A population file: what a user's own recorded traffic means, and what of it nobody is to see.

``shop.population.yaml`` stands beside its data, in a folder ``populations`` beside the scenarios, and is named
``population: shop`` there.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from simulator.scenario.frozen import Frozen, Scalar
from simulator.scenario.quantities import Duration

Kind = Literal["number", "integer", "category", "boolean"]


class When(Frozen):
    """The column that says when a row happened."""

    field: str
    unit: Literal["s", "ms", "us", "ns"] | None = Field(None, description="of numbers since 1970; without: ISO 8601")


class Outcome(Frozen):
    """The column that holds the truth, and when it became known."""

    field: str
    positive: tuple[Scalar, ...] = (1, True)
    time: When | None = Field(None, description="column of the moment at which the label was known")
    after: Duration | None = Field(None, description="or how long after the row it always was")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.time is None) == (self.after is None):
            msg = "a label needs exactly one of `time` (a column) and `after` (a duration)"
            raise ValueError(msg)
        return self


class Hashed(Frozen):
    """Columns whose values are replaced by keyed BLAKE2b digests: equal values stay equal, and nobody reads them."""

    fields: tuple[str, ...] = Field(min_length=1)
    key_from: str = Field(description="environment variable that holds the key, at least 16 characters")


class Recording(Frozen):
    """One population file."""

    population: Literal[1]
    file: str = Field(description="beside this file: .csv, .jsonl or .parquet")
    time: When
    entity: str = Field(description="column of the customer, the device, whoever sends")
    segment: str | None = Field(None, description="column of a group, for slices")
    label: Outcome | None = None
    drop: tuple[str, ...] = Field((), description="columns that are neither sent nor kept")
    hash: Hashed | None = None
    kinds: dict[str, Kind] = Field({}, description="column → kind, where it is not to be guessed")

    def unsent(self) -> frozenset[str]:
        """Columns that are no part of a request."""
        label = self.label
        known = {label.field} | ({label.time.field} if label.time else set()) if label else set()
        return frozenset({self.time.field, *known, *self.drop})

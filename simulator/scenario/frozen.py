"""What every part of a scenario has in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Scalar = str | int | float | bool
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class Frozen(BaseModel):
    """Every part of a scenario is immutable and refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def present(model: BaseModel, names: tuple[str, ...]) -> list[str]:
    """Which of these optional keys were given."""
    return [name for name in names if getattr(model, name) is not None]

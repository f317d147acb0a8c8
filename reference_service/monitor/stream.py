"""How a consumer of events stands with the stream that it takes them from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Stream:
    """Its numbers since the start."""

    connected: bool = False
    losses: int = 0  # times that it went away
    answered: int = 0
    buried: int = 0  # messages that failed too often

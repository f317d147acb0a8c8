"""What happens during a trial, as typed events: the engine tells, and does not know who listens."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.verdict import CellVerdict


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run began."""

    cell: str
    role: str


@dataclass(frozen=True, slots=True)
class RunProgress:
    """Share of a run's virtual time that has passed."""

    cell: str
    role: str
    share: float


@dataclass(frozen=True, slots=True)
class RunFinished:
    """A run ended; `seconds` of real time."""

    cell: str
    role: str
    seconds: float


@dataclass(frozen=True, slots=True)
class RunInterrupted:
    """A run was told to end, and heals what it has broken."""

    cell: str
    role: str


@dataclass(frozen=True, slots=True)
class CellJudged:
    """All runs of a cell are in, and this is what they say."""

    verdict: CellVerdict


TrialEvent = RunStarted | RunProgress | RunFinished | RunInterrupted | CellJudged

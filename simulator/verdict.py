"""The verdict: FAIL > UNKNOWN > PASS, as frozen data. Every rendering reads this object and nothing else.

Pure: no clock, no file, no environment. Exit codes as in semantics S4.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal

JUDGE_VERSION: Final = "2"

EXIT_CERTIFIED: Final = 0
EXIT_REFUSED: Final = 1
EXIT_BAD_INPUT: Final = 2
EXIT_UNKNOWN: Final = 3
EXIT_HARNESS_FAULT: Final = 4


class Status(StrEnum):
    """Three values, ordered FAIL > UNKNOWN > PASS."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    UNKNOWN = "unknown"
    FAIL = "fail"


_RANK: Final = {Status.PASS: 0, Status.UNKNOWN: 1, Status.FAIL: 2}


def worst(statuses: Iterable[Status]) -> Status:
    """The join of the lattice; nothing at all is UNKNOWN, because nothing was seen."""
    return max(statuses, key=_RANK.__getitem__, default=Status.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Control:
    """One attempt to see an expectation red (S10). `seen` says whether the judge behaved as it must."""

    grade: Literal["T", "W", "S"]
    name: str  # red: dropped alert | green: onset just inside | premise: no heartbeat | without alerts | twin …
    want: Status
    got: Status
    why: str = ""

    @property
    def seen(self) -> bool:
        """True if the control turned out as wanted."""
        return self.want == self.got


@dataclass(frozen=True, slots=True)
class Finding:
    """What one evaluator says of one expectation on one evidence, before controls."""

    status: Status
    limit: str  # as a person reads it: "≥ 99%", "within 8m after unit_change"
    observed: str  # "99.7%", "onset after 4m10s", "nothing seen"
    why: str = ""  # one sentence; for UNKNOWN the broken premise
    remedy: str = ""  # for UNKNOWN: what to do
    n: int = 0  # opportunities behind the observation
    interval: tuple[float, float] | None = None  # one-sided 99 % bounds, as (lower, upper)
    margin: float | None = None  # headroom as a share of the limit; negative beyond it
    window_ns: tuple[int, int] | None = None
    witnesses: tuple[str, ...] = ()  # "main/4711 at 31m02s: silent, score 0.31, twin 0.07"; at most ten


@dataclass(frozen=True, slots=True)
class Judged:
    """One expectation, judged, with its controls and where it stands in the file."""

    id: str
    family: str
    gating: bool
    finding: Finding
    controls: tuple[Control, ...]
    required: tuple[Literal["T", "W", "S"], ...]
    line: int
    text: str  # the expectation in English

    @property
    def status(self) -> Status:
        """The finding, except that a PASS not seen red where it had to be is UNKNOWN (S4)."""
        if self.finding.status is Status.PASS and not self.seen_red:
            return Status.UNKNOWN
        return self.finding.status

    @property
    def seen_red(self) -> bool:
        """Every required grade was tried and every control of it turned out as wanted."""
        return all(
            any(c.grade == grade for c in self.controls) and all(c.seen for c in self.controls if c.grade == grade)
            for grade in self.required
        )

    @property
    def grades(self) -> str:
        """Grades really seen, such as ``TWS``; a dash if none."""
        seen = [
            g
            for g in ("T", "W", "S")
            if any(c.grade == g for c in self.controls) and all(c.seen for c in self.controls if c.grade == g)
        ]
        return "".join(seen) or "-"


@dataclass(frozen=True, slots=True)
class CellVerdict:
    """One scenario, one matrix cell, one seed."""

    scenario: str  # file stem
    title: str
    path: str
    cell: dict[str, Any]
    seed: int
    target: str
    judged: tuple[Judged, ...]
    evidence: dict[str, str]  # role → history digest
    plan_digest: str
    run_id: str
    harness_fault: str = ""
    judge_version: str = JUDGE_VERSION

    @property
    def status(self) -> Status:
        """Worst gating expectation; none ⇒ UNKNOWN."""
        return worst(j.status for j in self.judged if j.gating)

    @property
    def name(self) -> str:
        """``unit_change[factor=100]``."""
        inner = ",".join(f"{k}={v}" for k, v in self.cell.items())
        return f"{self.scenario}[{inner}]" if inner else self.scenario


@dataclass(frozen=True, slots=True)
class Verdict:
    """Everything that one invocation judged."""

    cells: tuple[CellVerdict, ...]

    @property
    def status(self) -> Status:
        """Worst cell; none ⇒ UNKNOWN."""
        return worst(c.status for c in self.cells)

    @property
    def exit_code(self) -> int:
        """S4: 1 any FAIL, 4 harness fault, 3 any UNKNOWN, 0 all PASS. Bad input (2) never gets as far as a verdict."""
        if self.status is Status.FAIL:
            return EXIT_REFUSED
        if any(c.harness_fault for c in self.cells):
            return EXIT_HARNESS_FAULT
        return EXIT_CERTIFIED if self.status is Status.PASS else EXIT_UNKNOWN

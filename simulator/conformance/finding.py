"""What the suite found, as frozen data; every rendering reads a Report and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from simulator.verdict import EXIT_CERTIFIED, EXIT_REFUSED, EXIT_UNKNOWN, Status, worst

SUITE_VERSION: Final = "1"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what came back. Status 0: no answer, and `failure` says why."""

    method: str
    path: str
    body: bytes
    status: int
    reply: bytes
    failure: str = ""
    note: str = ""  # why it stands in the evidence: "alone", "beside a poisoned request"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one case of one probe showed. `repro` is shell, with the server's base URL in ``$URL``."""

    probe: str
    case: str
    status: Status
    why: str
    evidence: tuple[Exchange, ...] = ()
    repro: str = ""

    @property
    def name(self) -> str:
        """``isolation.concurrent``."""
        return f"{self.probe}.{self.case}"


@dataclass(frozen=True, slots=True)
class Report:
    """All findings on one target."""

    target: str
    url: str
    requests: int
    findings: tuple[Finding, ...]
    suite_version: str = SUITE_VERSION

    @property
    def status(self) -> Status:
        """FAIL > UNKNOWN > PASS; nothing found is UNKNOWN."""
        return worst(finding.status for finding in self.findings)

    @property
    def exit_code(self) -> int:
        """0 all kept, 1 a promise is broken, 3 something could not be told; 2 and 4 never get as far as a report."""
        return {Status.PASS: EXIT_CERTIFIED, Status.FAIL: EXIT_REFUSED, Status.UNKNOWN: EXIT_UNKNOWN}[self.status]

    def of(self, name: str) -> Finding:
        """The finding of that name. Raises KeyError."""
        for finding in self.findings:
            if finding.name == name:
                return finding
        raise KeyError(name)

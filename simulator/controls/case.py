"""What a T control starts from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from simulator.checks.evidence import Evidence
from simulator.controls.naive import Court, Opinion
from simulator.scenario.model import Expectation, Scenario
from simulator.verdict import Status

Edit = Callable[[], Evidence]
Tampering = tuple[str, Status, Edit]  # name, wanted status, edited evidence


@dataclass(frozen=True, slots=True)
class Case:
    """What there is to tamper with: an expectation that PASSes, and the naive judge's reading of it."""

    expectation: Expectation
    scenario: Scenario
    evidence: Evidence
    court: Court
    opinion: Opinion

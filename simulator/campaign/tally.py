"""Verdicts, counted by scenario, with what so many seeds allow to claim."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from simulator.checks.statistics import clopper_pearson
from simulator.report import words
from simulator.verdict import CellVerdict, Status, Verdict


@dataclass(frozen=True, slots=True)
class Repeat:
    """A run that was not certified, and how to see it again."""

    seed: int
    status: Status
    headline: str
    why: str
    command: str


@dataclass(frozen=True, slots=True)
class Row:
    """One scenario, one matrix cell, over all seeds.

    Attributes:
        name: ``unit_change[factor=100]``.
        path: Its file.
        target: The service under trial.
        certified: Seeds that passed.
        refused: Seeds that failed.
        undecided: Seeds that decided nothing.
        faults: Seeds of which the harness made no verdict; no part of the rate.
        at_least: One-sided 99 % lower bound of the rate of refusals per run (Clopper and Pearson).
        at_most: Its upper bound; both hold by themselves.
        repeat: The runs that were not certified, by seed.
    """

    name: str
    path: str
    target: str
    certified: int
    refused: int
    undecided: int
    faults: int
    at_least: float
    at_most: float
    repeat: tuple[Repeat, ...]


@dataclass(frozen=True, slots=True)
class Tally:
    """The table, and the verdict of the whole campaign (S4: the worst of all)."""

    rows: tuple[Row, ...]
    seeds: tuple[int, ...]
    verdict: Verdict


def tally(verdicts: Iterable[Verdict], without: str | None = None) -> Tally:
    """Count what was judged; rows in the order in which their first verdict comes.

    Args:
        verdicts: One per file and seed.
        without: The safeguard that was switched off, for the commands that repeat a run.
    """
    cells = tuple(cell for verdict in verdicts for cell in verdict.cells)
    by_name: dict[tuple[str, str], list[CellVerdict]] = {}
    for cell in cells:
        by_name.setdefault((cell.path, cell.name), []).append(cell)
    rows = tuple(_row(of_name, without) for of_name in by_name.values())
    return Tally(rows, tuple(sorted({cell.seed for cell in cells})), Verdict(cells))


def _row(cells: Sequence[CellVerdict], without: str | None) -> Row:
    judged = [cell for cell in cells if not cell.harness_fault]
    refused = sum(cell.status is Status.FAIL for cell in judged)
    lower, upper = clopper_pearson(refused, len(judged))
    return Row(
        cells[0].name,
        cells[0].path,
        cells[0].target,
        sum(cell.status is Status.PASS for cell in judged),
        refused,
        sum(cell.status is Status.UNKNOWN for cell in judged),
        len(cells) - len(judged),
        lower,
        upper,
        tuple(_repeat(cell, without) for cell in cells if words.settled(cell) is not Status.PASS),
    )


def _repeat(cell: CellVerdict, without: str | None) -> Repeat:
    reason = next(iter(words.reasons(Verdict((cell,)))))
    name = f"{reason.judged.id}: " if reason.judged else ""
    options = ["--seed", str(cell.seed), *(f"--set={key}={value}" for key, value in cell.cell.items())]
    options += ["--target", cell.target.removesuffix(f" without {without}")]
    options += ["--without", without] if without else []
    return Repeat(
        cell.seed,
        words.settled(cell),
        words.headline(cell),
        f"{name}{reason.why}",
        shlex.join(["seatrial", "run", cell.path, *options]),
    )

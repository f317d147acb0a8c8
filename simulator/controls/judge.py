"""Everything that one cell's evidence says: findings, and the proof that each could have been otherwise (S4, S10)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from simulator.checks.evaluate import check, evaluate
from simulator.checks.evidence import Evidence
from simulator.controls import naive
from simulator.controls.case import Case, Edit
from simulator.controls.safeguards import without
from simulator.controls.tamper import tamperings
from simulator.controls.world import detects, in_clean_world
from simulator.history.schema import History
from simulator.scenario.explain import sentence
from simulator.scenario.model import Expectation, Scenario
from simulator.verdict import CellVerdict, Control, Finding, Judged, Status

Grade = Literal["T", "W", "S"]
SUFFIX: Final = ".scenario.yaml"


class Cell(Protocol):
    """What of a loaded cell a verdict repeats."""

    @property
    def scenario(self) -> Scenario:
        """Resolved."""

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def values(self) -> Mapping[str, Any]:
        """Matrix values."""

    @property
    def lines(self) -> Mapping[str, int]:
        """``then.<id>`` → line."""


def judge(
    cell: Cell, evidence: Evidence, *, run_id: str, target: str, switchable: Collection[str] | None = None
) -> CellVerdict:
    """Judge every expectation of a cell, with its controls. Pure, and never raises for what is in the evidence.

    Args:
        cell: The scenario and where it stands.
        evidence: All runs of it.
        run_id: Of the whole invocation, repeated in the verdict.
        target: Name of the target, repeated in the verdict.
        switchable: Safeguards that the target can switch off; for these a run without them is required (grade S).
            None: those for which there is such a run. Empty where the main run itself went without a safeguard.
    """
    required_off = frozenset(evidence.off) if switchable is None else frozenset(switchable)
    court = _court(evidence)
    judged = tuple(_judged(expectation, cell, evidence, court, required_off) for expectation in cell.scenario.then)
    runs = _runs(evidence)
    faults = [
        f"{role}: {note.data.get('fault', '')}"
        for role, history in runs.items()
        for note in history.notes
        if note.kind == "harness"
    ]
    return CellVerdict(
        scenario=cell.path.name.removesuffix(SUFFIX),
        title=cell.scenario.title,
        path=str(cell.path),
        cell=dict(cell.values),
        seed=cell.scenario.seed,
        target=target,
        judged=judged,
        evidence={role: history.header.digest for role, history in runs.items()},
        plan_digest=evidence.main.header.plan_digest,
        run_id=run_id,
        harness_fault="; ".join(faults),
    )


def _runs(evidence: Evidence) -> dict[str, History]:
    named = {"main": evidence.main, "twin": evidence.twin, "aa": evidence.aa}
    off = {f"off-{guard}": history for guard, history in sorted(evidence.off.items())}
    serving = {f"serving-{version}": history for version, history in sorted(evidence.serving.items())}
    return {role: history for role, history in {**named, **serving, **off}.items() if history is not None}


def _court(evidence: Evidence) -> naive.Court | str:
    """The naive judge's reading of the evidence, or why it could not read it."""
    try:
        return naive.read(evidence.main, evidence.twin, evidence.aa, evidence.tolerance, evidence.serving)
    except Exception as error:  # noqa: BLE001 - broken evidence must not take the verdict with it
        return f"{type(error).__name__}: {error}"


def _judged(
    expectation: Expectation, cell: Cell, evidence: Evidence, court: naive.Court | str, switchable: frozenset[str]
) -> Judged:
    scenario = cell.scenario
    finding = evaluate(expectation, scenario, evidence)
    controls = [
        *_tampered(expectation, scenario, evidence, court, finding),
        *_worldly(expectation, scenario, evidence),
        *_unguarded(expectation, scenario, evidence),
    ]
    return Judged(
        id=expectation.id,
        family=expectation.family,
        gating=expectation.severity == "gate",
        finding=finding,
        controls=tuple(controls),
        required=_required(expectation, switchable),
        line=cell.lines.get(f"then.{expectation.id}", 0),
        text=sentence(expectation),
    )


def _required(expectation: Expectation, switchable: frozenset[str]) -> tuple[Grade, ...]:
    grades: list[Grade] = ["T"]
    if detects(expectation):
        grades.append("W")
    if expectation.safeguard in switchable:
        grades.append("S")
    return tuple(grades)


def _tampered(
    expectation: Expectation, scenario: Scenario, evidence: Evidence, court: naive.Court | str, finding: Finding
) -> Iterator[Control]:
    """Grade T. A second judge must agree; and if the finding is PASS, every edit must be seen as what it is."""
    name = "second judge: agrees"
    if isinstance(court, str):
        yield Control("T", name, finding.status, Status.UNKNOWN, f"it cannot read the evidence: {court}")
        return
    try:
        opinion = naive.opinion(expectation, scenario, court)
    except Exception as error:  # noqa: BLE001 - a defect of a control is a control gone wrong, not a crash
        yield _broken("T", name, error)
        return
    yield Control("T", name, finding.status, opinion.status)
    if finding.status is not Status.PASS or opinion.status is not Status.PASS:
        return  # what is not green need not be shown to be able to turn red
    try:
        edits = tuple(tamperings(Case(expectation, scenario, evidence, court, opinion)))
    except Exception as error:  # noqa: BLE001 - same
        yield _broken("T", "edits", error)
        return
    for name, want, edit in edits:
        yield _tried("T", name, want, partial(_checked, expectation, scenario, edit))


def _checked(expectation: Expectation, scenario: Scenario, edit: Edit) -> Finding:
    return check(expectation, scenario, edit())


def _worldly(expectation: Expectation, scenario: Scenario, evidence: Evidence) -> Iterator[Control]:
    """Grade W, for detections."""
    if not detects(expectation) or evidence.twin is None:
        return

    def look() -> Finding:
        clean = in_clean_world(evidence)
        return check(expectation, scenario, clean if clean is not None else evidence)

    yield _tried("W", "the clean twin in place of the run", Status.FAIL, look)


def _unguarded(expectation: Expectation, scenario: Scenario, evidence: Evidence) -> Iterator[Control]:
    """Grade S, where there was a run without the safeguard."""
    guard = expectation.safeguard
    off = without(evidence, guard) if guard is not None else None
    if off is not None:
        yield _tried("S", f"without {guard}", Status.FAIL, lambda: check(expectation, scenario, off))


def _tried(grade: Grade, name: str, want: Status, look: Callable[[], Finding]) -> Control:
    try:
        found = look()
    except Exception as error:  # noqa: BLE001 - same
        return _broken(grade, name, error)
    return Control(grade, name, want, found.status, found.why)


def _broken(grade: Grade, name: str, error: Exception) -> Control:
    # Wanted is that it runs at all, so that an UNKNOWN by crash is never taken for the UNKNOWN of a premise.
    return Control(grade, f"runs: {name}", Status.PASS, Status.UNKNOWN, f"{type(error).__name__}: {error}")

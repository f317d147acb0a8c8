"""A verdict in words: the headline, the counts, the marks and the numbers that every rendering shares."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from simulator.verdict import CellVerdict, Finding, Judged, Status, Verdict

HEADLINE: Final = {Status.PASS: "CERTIFIED", Status.FAIL: "REFUSED", Status.UNKNOWN: "INCONCLUSIVE"}
# Families whose finding is about a share, so that their bounds read as percentages (S5).
_SHARES: Final = frozenset(
    {
        "handled",
        "harmed",
        "error_rate",
        "latency",
        "labels_seen",
        "fallback",
        "shed",
        "answered",
        "exposure",
        "clean_reject",
        "review",
        "fairness",
    }
)
_PLAIN_FROM: Final = 1e-4  # smaller numbers are shown with an exponent
_PLAIN_TO: Final = 1e15


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a verdict is not green: one expectation of one cell, or a fault of the harness itself."""

    cell: CellVerdict
    judged: Judged | None  # None: the cell has no gating expectation, or the harness failed
    status: Status
    why: str
    remedy: str

    @property
    def where(self) -> str:
        """``scenarios/unit_change.scenario.yaml:33``."""
        return f"{self.cell.path}:{self.judged.line}" if self.judged else self.cell.path


def headline(verdict: Verdict | CellVerdict) -> str:
    """``CERTIFIED``, ``REFUSED`` or ``INCONCLUSIVE``."""
    return HEADLINE[settled(verdict)]


def settled(verdict: Verdict | CellVerdict) -> Status:
    """The status, except that a fault of the harness leaves nothing certified (S4)."""
    cells = verdict.cells if isinstance(verdict, Verdict) else (verdict,)
    if verdict.status is Status.PASS and any(cell.harness_fault for cell in cells):
        return Status.UNKNOWN
    return verdict.status


def mark(judged: Judged) -> str:
    """One character: ✓ green, ✗ red, ? unknown; ! where only a warning is at stake."""
    if judged.status is Status.PASS:
        return "✓"
    if not judged.gating:
        return "!"
    return "✗" if judged.status is Status.FAIL else "?"


def tone(judged: Judged) -> str:
    """``pass``, ``fail``, ``unknown`` or ``warn``: what a rendering colours by."""
    return judged.status.value if judged.gating or judged.status is Status.PASS else "warn"


def counts(verdict: Verdict) -> str:
    """``12 cells · 10 pass · 1 FAIL · 1 UNKNOWN · 2 warnings``; what is zero is left out."""
    statuses = [settled(cell) for cell in verdict.cells]
    warnings = sum(tone(judged) == "warn" for cell in verdict.cells for judged in cell.judged)
    parts = [plural(len(statuses), "cell")]
    parts += [
        f"{number} {word}"
        for status, word in ((Status.PASS, "pass"), (Status.FAIL, "FAIL"), (Status.UNKNOWN, "UNKNOWN"))
        if (number := statuses.count(status))
    ]
    parts += [plural(warnings, "warning")] if warnings else []
    return " · ".join(parts)


def plural(number: int, noun: str) -> str:
    """``1 cell``, ``2 cells``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def reasons(verdict: Verdict) -> Iterator[Reason]:
    """Everything that keeps the verdict from being green: failures first, then unknowns; warnings are no reason."""
    found = [reason for cell in verdict.cells for reason in _of_cell(cell)]
    yield from sorted(found, key=lambda reason: reason.status is not Status.FAIL)


def _of_cell(cell: CellVerdict) -> Iterator[Reason]:
    if cell.harness_fault:
        remedy = "this is a fault of the harness, not of the service; replay it with --debug and report it"
        yield Reason(cell, None, Status.UNKNOWN, f"the harness failed: {cell.harness_fault}", remedy)
    gating = [judged for judged in cell.judged if judged.gating]
    if not gating and not cell.harness_fault:
        yield Reason(
            cell, None, Status.UNKNOWN, "no expectation gates this scenario", "give one expectation severity: gate"
        )
    for judged in gating:
        if judged.status is not Status.PASS:
            yield Reason(cell, judged, judged.status, why(judged), remedy_of(judged))


def why(judged: Judged) -> str:
    """One sentence for what is not green; for a PASS that was never seen red, which control is missing."""
    finding = judged.finding
    if finding.status is Status.PASS and not judged.seen_red:
        return f"it holds, but {_unproven(judged)}"
    return finding.why or f"wanted {finding.limit}, observed {finding.observed}"


def remedy_of(judged: Judged) -> str:
    """What to do about it, if the judge knows."""
    if judged.finding.status is Status.PASS and not judged.seen_red:
        return "an expectation that cannot be made to fail certifies nothing: tighten it, or change what it watches"
    return judged.finding.remedy


def _unproven(judged: Judged) -> str:
    wrong = [c for c in judged.controls if c.grade in judged.required and not c.seen]
    if wrong:
        shown = "; ".join(f"{c.grade} control “{c.name}” wanted {c.want}, got {c.got}" for c in wrong[:3])
        return f"it was not seen red: {shown}"
    tried = {c.grade for c in judged.controls}
    missing = ", ".join(grade for grade in judged.required if grade not in tried)
    return f"it was not seen red: no control of grade {missing} was tried"


def number(value: float) -> str:
    """Four significant digits, no needless zeros: ``0.01235``, ``1,234``, ``5e-05``; infinities as ``∞``."""
    if math.isnan(value):
        return "-"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == 0:
        return "0"
    if not _PLAIN_FROM <= abs(value) < _PLAIN_TO:
        return f"{value:.4g}"
    digits = max(0, 3 - math.floor(math.log10(abs(value))))
    shown = f"{value:,.{digits}f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def percent(share: float) -> str:
    """A share as a percentage of four significant digits: ``0.1%``."""
    return number(share * 100) + "%"


def margin(finding: Finding) -> str:
    """Headroom as a share of the limit: ``+84%``, ``-53%``; a dash where the family has none."""
    if finding.margin is None or math.isnan(finding.margin):
        return "-"
    if math.isinf(finding.margin):
        return "+∞" if finding.margin > 0 else "-∞"
    return f"{finding.margin * 100:+.0f}%"


def evidence(judged: Judged) -> list[str]:
    """``["n = 4,603", "99% bounds 0.02%…0.1%"]``: how much the observation rests on; empty if it is one sighting."""
    finding = judged.finding
    # The judge may have said it already: "0 of 2388 rows".
    parts = [f"n = {finding.n:,}"] if finding.n > 1 and f" of {finding.n} " not in finding.observed else []
    if finding.interval is not None:
        show = percent if judged.family in _SHARES else number
        low, high = finding.interval
        parts.append(f"99% bounds {show(low)}…{show(high)}")
    return parts


def difference(given: Verdict, now: Verdict) -> str:
    """The first thing on which two verdicts of the same evidence differ, for a person; empty if they agree."""
    for old, new in zip(given.cells, now.cells, strict=False):
        if old == new:
            continue
        if old.judge_version != new.judge_version:
            return (
                f"{old.name}: judged by version {old.judge_version} then, {new.judge_version} now: {_differs(old, new)}"
            )
        return f"{old.name}: {_differs(old, new)}"
    if len(given.cells) != len(now.cells):
        return f"{plural(len(given.cells), 'cell')} then, {len(now.cells)} now"
    return ""


def _differs(old: CellVerdict, new: CellVerdict) -> str:
    before = {judged.id: judged for judged in old.judged}
    for judged in new.judged:
        was = before.get(judged.id)
        if was != judged:
            then = f"{was.status} ({was.finding.observed})" if was else "not judged"
            return f"{judged.id} was {then}, is {judged.status} ({judged.finding.observed})"
    return f"was {old.status}, is {new.status}"


def divergence(old: CellVerdict, new: CellVerdict) -> str:
    """How a replay differs from the run it repeats: another plan, or which histories; empty if nothing differs."""
    if old.plan_digest != new.plan_digest:
        return "another plan: this is not the same traffic, so this seatrial or this scenario is another one"
    if old.run_id != new.run_id:
        return "another target: its file, its code or its models have changed since"
    roles = sorted(
        role for role in old.evidence.keys() | new.evidence if old.evidence.get(role) != new.evidence.get(role)
    )
    return f"the same plan, another history: {', '.join(roles)}" if roles else ""

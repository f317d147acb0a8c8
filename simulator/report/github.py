"""For GitHub Actions: a step summary in Markdown, and an annotation at the line of each expectation not green."""

from typing import Final

from simulator.report import words
from simulator.verdict import CellVerdict, Status, Verdict

_SUMMARY_LIMIT: Final = 1_000_000  # bytes; the platform drops a summary beyond 1 MiB
_ANNOTATIONS: Final = 10  # of one kind per step; the platform drops the rest


def summary(verdict: Verdict) -> str:
    """Markdown for ``$GITHUB_STEP_SUMMARY``: the verdict, why, and one table per cell, failures first."""
    lines = [f"## {words.headline(verdict)}", "", words.counts(verdict), ""]
    for reason in words.reasons(verdict):
        name = reason.judged.id if reason.judged else "cell"
        lines.append(f"- **{reason.cell.name}: {name}** {_cell(reason.why)} (`{reason.where}`)")
    order = {Status.FAIL: 0, Status.UNKNOWN: 1, Status.PASS: 2}
    for cell in sorted(verdict.cells, key=lambda cell: order[words.settled(cell)]):
        lines += ["", *_table(cell)]
    text = "\n".join(lines) + "\n"
    if len(text.encode()) <= _SUMMARY_LIMIT:
        return text
    return text.encode()[:_SUMMARY_LIMIT].decode(errors="ignore") + "\n\n(cut here; the rest is in report.html)\n"


def annotations(verdict: Verdict) -> list[str]:
    """Workflow commands (``::error file=…,line=…::…``) for stdout: at most ten errors, then at most ten warnings."""
    errors = [_command("error", reason.where, _title(reason), reason.why) for reason in words.reasons(verdict)]
    warnings = [
        _command("warning", f"{cell.path}:{judged.line}", f"{cell.name}: {judged.id}", words.why(judged))
        for cell in verdict.cells
        for judged in cell.judged
        if words.tone(judged) == "warn"
    ]
    return errors[:_ANNOTATIONS] + warnings[:_ANNOTATIONS]


def _title(reason: words.Reason) -> str:
    name = reason.judged.id if reason.judged else "no verdict"
    return f"{words.HEADLINE[reason.status]}: {reason.cell.name}: {name}"


def _command(kind: str, where: str, title: str, message: str) -> str:
    path, _, line = where.rpartition(":") if where.rpartition(":")[2].isdigit() else (where, "", "1")
    properties = {"file": path, "line": line, "title": title}
    shown = ",".join(f"{key}={_escaped(value, ':,')}" for key, value in properties.items())
    return f"::{kind} {shown}::{_escaped(message, '')}"


def _escaped(text: str, also: str) -> str:
    for character in "%\r\n" + also:  # the percent sign first: it begins every escape
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def _table(cell: CellVerdict) -> list[str]:
    rows = [
        (words.mark(j), j.id, j.finding.limit, j.finding.observed, words.margin(j.finding), j.grades, f"`:{j.line}`")
        for j in cell.judged
    ]
    head = ("", "Expectation", "Limit", "Observed", "Margin", "Seen red", "Where")
    lines = [f"### {words.headline(cell)} {cell.name}: {_cell(cell.title)}", ""]
    lines += ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(_cell(text) for text in row) + " |" for row in rows]
    return [*lines, "", f"`seatrial replay {cell.run_id}` (target {_cell(cell.target)}, seed {cell.seed})"]


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")

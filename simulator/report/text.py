"""The verdict for a terminal: headline, one table per cell, and why for everything that is not green."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from simulator.report import words
from simulator.verdict import CellVerdict, Judged, Status, Verdict

_COLUMNS: Final = ("", "Expectation", "Limit", "Observed", "Margin", "Seen red", "Where")
_NUMERIC: Final = frozenset({"Margin"})
_FLEXIBLE: Final = {"Expectation": 30, "Limit": 34, "Observed": 34}  # widest before a cell of the table wraps
_ANSI: Final = {"pass": "32", "fail": "31;1", "unknown": "33;1", "warn": "33", "bold": "1", "dim": "2"}
_WIDTH: Final = 100  # of the prose below a table


def render(verdict: Verdict, *, color: bool = False) -> str:
    """The whole verdict as text that ends in a newline; `color` adds ANSI codes and changes nothing else."""
    tone = words.settled(verdict).value
    lines = [f"{_paint(words.headline(verdict), tone, color=color)}  {words.counts(verdict)}"]
    if not verdict.cells:
        lines.append("  nothing was judged, and nothing that did not happen can be green")
    for cell in verdict.cells:
        lines += ["", *_cell(cell, color=color)]
    if verdict.cells and words.settled(verdict) is not Status.PASS:
        first = next(words.reasons(verdict)).cell
        lines += ["", f"reproduce: seatrial replay {first.run_id}"]
    return "\n".join(lines) + "\n"


def render_cell(cell: CellVerdict) -> str:
    """One cell, plain: what a failing test shows."""
    return "\n".join([words.headline(cell), *_cell(cell, color=False)]) + "\n"


def _cell(cell: CellVerdict, *, color: bool) -> Iterator[str]:
    status = words.settled(cell)
    name = _paint(cell.name, "bold", color=color)
    yield f"{_paint(words.HEADLINE[status], status.value, color=color)}  {name}: {cell.title}"
    yield _paint(f"  target {cell.target}, seed {cell.seed}, run {cell.run_id}", "dim", color=color)
    if cell.harness_fault:
        yield f"  the harness failed: {cell.harness_fault}"
    elif not any(judged.gating for judged in cell.judged):
        yield "  no expectation gates this scenario"
    if cell.judged:
        yield from _table([_row(judged, cell) for judged in cell.judged], cell.judged, color=color)
    for judged in cell.judged:
        if judged.status is not Status.PASS:
            yield from _explained(judged, color=color)


def _row(judged: Judged, cell: CellVerdict) -> tuple[str, ...]:
    finding = judged.finding
    evidence = ", ".join(words.evidence(judged))
    observed = f"{finding.observed} ({evidence})" if evidence else finding.observed
    where = f"{cell.path}:{judged.line}"
    margin = words.margin(finding)
    return (words.mark(judged), judged.id, finding.limit, observed, margin, judged.grades, where)


def _table(rows: Sequence[tuple[str, ...]], judged: Sequence[Judged], *, color: bool) -> Iterator[str]:
    wrapped = [_wrapped(row) for row in [_COLUMNS, *rows]]
    widths = [max(len(line) for row in wrapped for line in row[column]) for column in range(len(_COLUMNS))]
    tones = ["dim", *(words.tone(j) for j in judged)]
    for row, tone in zip(wrapped, tones, strict=True):
        for line in range(max(len(cell) for cell in row)):
            texts = [cell[line] if line < len(cell) else "" for cell in row]
            padded = [
                text.rjust(width) if name in _NUMERIC else text.ljust(width)
                for name, text, width in zip(_COLUMNS, texts, widths, strict=True)
            ]
            shown = "  ".join(padded).rstrip()
            yield "  " + (_paint(shown, tone, color=color) if tone != "pass" else _marked(shown, color=color))


def _wrapped(row: tuple[str, ...]) -> list[list[str]]:
    return [
        textwrap.wrap(text, _FLEXIBLE[name]) or [""] if name in _FLEXIBLE else [text]
        for name, text in zip(_COLUMNS, row, strict=True)
    ]


def _marked(line: str, *, color: bool) -> str:
    # A passing row stays quiet: only its mark is green.
    return _paint(line[0], "pass", color=color) + line[1:] if line and line[0] != " " else line


def _explained(judged: Judged, *, color: bool) -> Iterator[str]:
    yield ""
    mark = _paint(words.mark(judged), words.tone(judged), color=color)
    first, *rest = textwrap.wrap(f"{judged.id}: {judged.text}", _WIDTH - 4, subsequent_indent="      ")
    yield from (f"  {mark} {first}", *rest)
    yield from _prose("why", words.why(judged))
    if remedy := words.remedy_of(judged):
        yield from _prose("remedy", remedy)
    for witness in judged.finding.witnesses:
        yield f"      - {witness}"


def _prose(label: str, text: str) -> list[str]:
    return textwrap.wrap(f"{label}: {text}", _WIDTH, initial_indent="    ", subsequent_indent="      ")


def _paint(text: str, tone: str, *, color: bool) -> str:
    return f"\x1b[{_ANSI[tone]}m{text}\x1b[0m" if color and text else text

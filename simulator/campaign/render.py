"""The table of a campaign: for a terminal, as JSON, as Markdown, and as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from simulator.campaign.tally import Row, Tally
from simulator.report import words
from simulator.report.html import fill

FORMAT: Final = 1
HEAD: Final = ("Scenario", "Certified", "Refused", "Undecided", "Faults", "Refused per run (99 % bounds)")


def write(tally: Tally, out: Path) -> None:
    """Write ``campaign.json``, ``campaign.md`` and ``campaign.html``: the same bytes for the same verdicts."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "campaign.json").write_bytes(to_json(tally))
    (out / "campaign.md").write_text(markdown(tally), encoding="utf-8")
    (out / "campaign.html").write_text(fill("campaign.html", **_said(tally)), encoding="utf-8")


def to_json(tally: Tally) -> bytes:
    """UTF-8 JSON. `digests`: of the main history of each run, by run id, so that two campaigns can be compared."""
    verdict = tally.verdict
    document = {
        "campaign": FORMAT,
        "status": words.settled(verdict).value,
        "exit_code": verdict.exit_code,
        "seeds": tally.seeds,
        "rows": [msgspec.to_builtins(row) for row in tally.rows],
        "digests": {cell.run_id: cell.evidence.get("main", "") for cell in verdict.cells},
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def text(tally: Tally) -> str:
    """For a terminal: the table, then each run that was not certified with the command that repeats it."""
    said = _said(tally)
    table = [HEAD, *(_columns(row) for row in tally.rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(HEAD))]
    lines = [f"{said['headline']}  {said['counts']}", ""]
    for name, *counts in table:
        cells = [name.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(counts, widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    for row in tally.rows:
        for run in row.repeat:
            lines += ["", f"{run.headline} {row.name}, seed {run.seed}: {run.why}", f"  {run.command}"]
    return "\n".join(lines) + "\n"


def markdown(tally: Tally) -> str:
    """The same, for a pull request or a step summary."""
    said = _said(tally)
    lines = [f"## {said['headline']}", "", str(said["counts"]), ""]
    lines += ["| " + " | ".join(HEAD) + " |", "| --- |" + " ---: |" * (len(HEAD) - 1)]
    lines += ["| " + " | ".join(_plain(cell) for cell in _columns(row)) + " |" for row in tally.rows]
    for row in tally.rows:
        for run in row.repeat:
            lines += ["", f"- **{run.headline} {_plain(row.name)}, seed {run.seed}**: {_plain(run.why)}"]
            lines += ["", f"      {run.command}"]
    return "\n".join(lines) + "\n"


def _said(tally: Tally) -> dict[str, Any]:
    runs = len(tally.verdict.cells)
    seeds = f"{len(tally.seeds)} seed{'s' * (len(tally.seeds) != 1)}"
    return {
        "headline": words.headline(tally.verdict),
        "tone": words.settled(tally.verdict).value,
        "counts": f"{runs} runs: {len(tally.rows)} cells, {seeds}" if runs else "nothing ran",
        "head": HEAD,
        "rows": [(row, _columns(row)) for row in tally.rows],
    }


def _columns(row: Row) -> tuple[str, ...]:
    counts = (str(count) for count in (row.certified, row.refused, row.undecided, row.faults))
    return (row.name, *counts, f"{row.at_least:.2%} to {row.at_most:.2%}")


def _plain(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")

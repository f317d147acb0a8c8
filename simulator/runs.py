"""Finds the evidence of an earlier run: by its folder, or by the id that every report prints."""

from __future__ import annotations

from pathlib import Path

from simulator.report.json_ import from_json
from simulator.scenario.errors import BadInput, Problem
from simulator.verdict import CellVerdict, Verdict


def find(run: str, reports: Path) -> Path:
    """The folder with the ``verdict.json`` of `run`: a folder, or an id (a unique beginning will do) under `reports`.

    Raises:
        BadInput: There is no such run, or the beginning of the id fits several.
    """
    if (Path(run) / "verdict.json").is_file():
        return Path(run)
    return find_cell(run, reports)[0]


def find_cell(run_id: str, reports: Path) -> tuple[Path, CellVerdict]:
    """The folder, and the cell that `run_id` names. Where the same run was made twice, the first folder by name.

    Raises:
        BadInput: As `find`.
    """
    found: dict[str, tuple[Path, CellVerdict]] = {}
    for path in sorted(reports.rglob("verdict.json")):
        for cell in _read(path).cells:
            if run_id and cell.run_id.startswith(run_id):
                found.setdefault(cell.run_id, (path.parent, cell))
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        raise BadInput([Problem("ambiguous-run", f"{run_id} fits {', '.join(sorted(found))}", str(reports))])
    hint = "a run is a folder with a verdict.json, or the id that the report gave after `seatrial replay`"
    raise BadInput([Problem("no-run", f"knows no run {run_id}", str(reports), hint=hint)])


def _read(path: Path) -> Verdict:
    try:
        return from_json(path.read_bytes())
    except ValueError:
        return Verdict(())  # something else by the same name, or of another format: not a run that can be found

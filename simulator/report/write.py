"""Writes every rendering of one verdict into one folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from simulator.history import Altered, History
from simulator.report import html, json_, junit
from simulator.report.lanes import Lanes, lanes
from simulator.verdict import CellVerdict, Verdict


def write(verdict: Verdict, folder: Path, main_of: Callable[[CellVerdict], History]) -> Path:
    """Write ``verdict.json``, ``junit.xml`` and ``report.html``; returns the page's path. `main_of`: see `page`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "verdict.json").write_bytes(json_.to_json(verdict))
    (folder / "junit.xml").write_bytes(junit.render(verdict))
    return page(verdict, folder / "report.html", main_of)


def page(verdict: Verdict, path: Path, main_of: Callable[[CellVerdict], History]) -> Path:
    """Write the HTML page alone.

    Args:
        verdict: What to render.
        path: Where to; its folder is made if it is not there.
        main_of: The main history of a cell. Asked cell by cell and reduced at once, so that one history is in
            memory at a time; a cell for which it raises `Altered` has no picture, and the page says so.
    """
    pictures: dict[str, Lanes] = {}
    for cell in verdict.cells:
        if "main" not in cell.evidence:
            continue
        try:
            pictures[cell.run_id] = lanes(main_of(cell))
        except Altered:
            continue
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(html.render(verdict, pictures), encoding="utf-8")
    return path

"""The report as one HTML page: verdict, why, then one time axis per cell. No script, nothing fetched from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from simulator.report import words
from simulator.report.lanes import Lanes
from simulator.report.limits import limits
from simulator.report.timeline import draw
from simulator.verdict import CellVerdict, Judged, Status, Verdict

_MEANING: Final = {"T": "tampered evidence", "W": "clean world", "S": "safeguard switched off"}
_TRIED: Final = {"seen": "seen red", "missing": "required, not seen", "none": "not tried"}
_ORDER: Final = {Status.FAIL: 0, Status.UNKNOWN: 1, Status.PASS: 2}


def render(verdict: Verdict, lanes: Mapping[str, Lanes]) -> str:
    """The whole page. `lanes` by run id; a cell without any is shown without a picture.

    The same input gives the same bytes: no clock, no environment.
    """
    cells = sorted(verdict.cells, key=lambda cell: _ORDER[words.settled(cell)])
    return fill(
        "page.html",
        verdict=verdict,
        headline=words.headline(verdict),
        tone=words.settled(verdict).value,
        counts=words.counts(verdict),
        targets=sorted({cell.target for cell in verdict.cells}),
        reasons=list(words.reasons(verdict)),
        warnings=[(cell, j) for cell in cells for j in cell.judged if words.tone(j) == "warn"],
        cells=[_cell(cell, lanes.get(cell.run_id)) for cell in cells],
        limits=list(limits(verdict, lanes)),
        versions=_versions(lanes),
    )


def _cell(cell: CellVerdict, lanes: Lanes | None) -> dict[str, Any]:
    return {
        "verdict": cell,
        "anchor": anchor(cell),
        "tone": words.settled(cell).value,
        "headline": words.headline(cell),
        "open": words.settled(cell) is not Status.PASS,
        "rows": [_row(cell, judged) for judged in cell.judged],
        # The only markup that does not go through autoescape: svg.py escapes every text it is given.
        "picture": Markup(draw(lanes, cell)) if lanes else None,  # noqa: S704
        "lanes": lanes,
    }


def _row(cell: CellVerdict, judged: Judged) -> dict[str, Any]:
    green = judged.status is Status.PASS
    return {
        "judged": judged,
        "anchor": anchor(cell, judged),
        "mark": words.mark(judged),
        "tone": words.tone(judged),
        "evidence": words.evidence(judged),
        "margin": words.margin(judged.finding),
        "why": "" if green else words.why(judged),
        "remedy": "" if green else words.remedy_of(judged),
        "missed": [c for c in judged.controls if not c.seen],
    }


def anchor(cell: CellVerdict, judged: Judged | None = None) -> str:
    """A fragment that is the same in every report of the same cell: ``unit_change-factor-100-3f2a--paged``."""
    name = re.sub(r"[^A-Za-z0-9_]+", "-", cell.name).strip("-")
    return f"{name}-{cell.run_id[:6]}" + (f"--{judged.id}" if judged else "")


def _versions(lanes: Mapping[str, Lanes]) -> list[tuple[str, str]]:
    said = {(name, version) for one in lanes.values() for name, version in one.header.versions.items()}
    return sorted(said)


def _grades(judged: Judged) -> Markup:
    """The three grades: seen, required but not seen, or neither."""
    chips = Markup()
    for grade, meaning in _MEANING.items():
        tone = "seen" if grade in judged.grades else "missing" if grade in judged.required else "none"
        title = f"{meaning}: {_TRIED[tone]}"
        chips += Markup('<span class="grade {}" title="{}">{}</span>').format(tone, title, grade)
    return chips


def fill(name: str, **values: object) -> str:
    """A page of the folder `templates`, filled in; whatever is no markup of ours is escaped."""
    return _templates().get_template(name).render(**values)


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("simulator.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals |= {"anchor_of": anchor, "grades": _grades}
    return environment

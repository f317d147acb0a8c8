"""The picture of one run: lanes over one shared time axis, drawn as SVG that needs no script."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from simulator.report import bars, curves
from simulator.report.lanes import Lanes
from simulator.report.layout import LEFT, LETTER, RIGHT, WIDTH, Lane, clock
from simulator.report.svg import Scale, element, label, line, rect, ticks, tooltip
from simulator.verdict import CellVerdict

_TOP: Final = 30.0
_HEADER: Final = 20.0  # a lane's own title
_GAP: Final = 13.0  # between lanes


def draw(lanes: Lanes, cell: CellVerdict) -> str:
    """The whole picture as one ``<svg>`` element; its classes are styled by the page."""
    scale = Scale(lanes.end_ns, LEFT, WIDTH - LEFT - RIGHT)
    drawn = [lane for lane in _lanes(lanes, cell, scale) if lane is not None]
    parts, y = [], _TOP
    for lane in drawn:
        parts.append(
            element(
                "g",
                label(lane.title, 0, 11, class_="lane"),
                label(lane.note, LEFT, 11, class_="note") if lane.note else "",
                element("g", *lane.marks, transform=f"translate(0 {_HEADER:g})"),
                transform=f"translate(0 {y:g})",
            )
        )
        y += _HEADER + lane.height + _GAP
    summary = f"What happened in {cell.name}: {', '.join(lane.title for lane in drawn)} over {clock(lanes.end_ns)}"
    return element(
        "svg",
        tooltip(summary),
        *_ground(lanes, scale, y),
        *parts,
        class_="timeline",
        viewBox=f"0 0 {WIDTH} {y + 22:g}",
        role="img",
        aria_label=summary,
    )


def _lanes(lanes: Lanes, cell: CellVerdict, scale: Scale) -> Iterator[Lane | None]:
    edges = np.array([scale.x(i * lanes.bucket_ns) for i in range(len(lanes.traffic.values) + 1)])
    per_bucket = f"per {clock(lanes.bucket_ns)}"
    yield bars.events(lanes, scale)
    yield bars.windows(cell, scale)
    yield bars.alerts(lanes.alerts, lanes.end_ns, scale)
    yield curves.versions(lanes.versions, edges)
    yield curves.psi(lanes.psi, scale)
    yield curves.stacked(
        "answers from", f"share of items by what the reply says of itself, {per_bucket}", lanes.sources, edges
    )
    yield curves.stacked("trouble", f"share of items, {per_bucket}", lanes.troubles, edges, whole=False)
    yield curves.traffic(lanes.traffic, edges, per_bucket)
    yield curves.labels(lanes.labels, edges)


def _ground(lanes: Lanes, scale: Scale, bottom: float) -> Iterator[str]:
    top = _TOP - 8
    if lanes.warmup_ns:
        warm = scale.x(lanes.warmup_ns)
        yield rect(
            LEFT, top, warm - LEFT, bottom - top, tooltip(f"warm-up until {clock(lanes.warmup_ns)}"), class_="warm"
        )
    for band in lanes.events:
        a, b = scale.x(band.start_ns), scale.x(band.end_ns)
        yield rect(a, top, b - a, bottom - top, class_="touch" if band.reached else "touch missed")
    for at in ticks(lanes.end_ns):
        x = scale.x(at)
        yield line(x, top, x, bottom, class_="grid")
        yield label(clock(at), x, top - 5, class_="tick")
        yield label(clock(at), x, bottom + 12, class_="tick")
    if lanes.warmup_ns and scale.x(lanes.warmup_ns) - LEFT > len("warm-up") * LETTER + 8:
        yield label("warm-up", LEFT + 5, _TOP + _HEADER + 12, class_="note")

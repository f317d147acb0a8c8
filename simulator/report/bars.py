"""Lanes of things that begin and end: events, the windows of expectations, alerts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from simulator.history.episodes import FOREVER, Episode
from simulator.report import words
from simulator.report.lanes import Lanes
from simulator.report.layout import LETTER, ROW, WIDTH, Lane, clock, row_label
from simulator.report.svg import Scale, element, label, rect, tooltip
from simulator.verdict import CellVerdict, Judged


def events(lanes: Lanes, scale: Scale) -> Lane | None:
    """A band per event, in as many rows as they overlap; one that never reached the service is hollow."""
    if not lanes.events:
        return Lane("events", "none: a clean world", 4, ())
    marks, rows = [], _stack([(scale.x(b.start_ns), scale.x(b.end_ns), b.name) for b in lanes.events])
    for band, row in zip(lanes.events, rows, strict=True):
        a, b, y = scale.x(band.start_ns), scale.x(band.end_ns), row * (ROW + 3)
        kind = "event" if band.reached else "event missed"
        marks.append(rect(a, y, b - a, ROW, tooltip(band.detail), class_=kind, rx=3))
        name = band.name if band.reached else f"{band.name} (never arrived)"
        marks.append(_beside(name, a, b, y, "on-event"))
    return Lane("events", "", (max(rows) + 1) * (ROW + 3) - 3, tuple(marks))


def windows(cell: CellVerdict, scale: Scale) -> Lane | None:
    """When each expectation was judged, coloured by what came of it."""
    shown = [judged for judged in cell.judged if judged.finding.window_ns is not None]
    marks = [mark for row, judged in enumerate(shown) for mark in _window(judged, row * ROW, scale)]
    return (
        Lane("expectations", "the window in which each one was judged", len(shown) * ROW, tuple(marks))
        if shown
        else None
    )


def _window(judged: Judged, y: float, scale: Scale) -> Iterator[str]:
    start, end = judged.finding.window_ns or (0, 0)
    a, b, middle, tone = scale.x(start), scale.x(end), y + ROW / 2, words.tone(judged)
    yield row_label(f"{judged.id} {words.mark(judged)}", middle, f"tone-{tone}")
    said = f"{judged.text}: {judged.finding.observed} (limit {judged.finding.limit}), {clock(start)} to {clock(end)}"
    yield rect(a, middle - 3, b - a, 6, tooltip(said), class_=f"window fill-{tone}", rx=3)


def alerts(alerts: Sequence[Episode], end_ns: int, scale: Scale) -> Lane | None:
    """A row per alert name and field, an episode from its onset to its end."""
    if not alerts:
        return Lane("alerts", "none fired", 4, ())
    rows = sorted({(alert.name, alert.field) for alert in alerts}, key=lambda key: _onset(alerts, key))
    marks = [row_label(f"{name} {field}".strip(), row * ROW + ROW / 2) for row, (name, field) in enumerate(rows)]
    for alert in alerts:
        y = rows.index((alert.name, alert.field)) * ROW + ROW / 2
        a, b = scale.x(alert.onset_ns), scale.x(min(alert.end_ns, end_ns))
        until = "still firing at the end" if alert.end_ns == FOREVER else f"resolved at {clock(alert.end_ns)}"
        said = tooltip(f"{alert}: fired at {clock(alert.onset_ns)}, {until}")
        kind = "page" if alert.severity == "page" else "ticket"
        marks.append(rect(a, y - 4, b - a, 8, said, class_=f"alert {kind}", rx=2))
        marks.append(element("circle", cx=a, cy=y, r=4.5, class_=f"onset {kind}"))
        marks.append(label(clock(alert.onset_ns), a - 8, y + 3.5, class_="note left"))
    return Lane("alerts", "from firing to resolved", len(rows) * ROW, tuple(marks))


def _onset(alerts: Sequence[Episode], key: tuple[str, str]) -> tuple[int, tuple[str, str]]:
    return min(alert.onset_ns for alert in alerts if (alert.name, alert.field) == key), key


def _beside(name: str, a: float, b: float, y: float, kind: str) -> str:
    """A name inside its band where it fits, else to the right of it, else to the left."""
    wide = len(name) * LETTER
    if wide + 10 <= b - a:
        return label(name, a + 6, y + 12, class_=kind)
    if b + 5 + wide <= WIDTH:
        return label(name, b + 5, y + 12, class_="beside")
    return label(name, a - 5, y + 12, class_="beside left")


def _stack(spans: Sequence[tuple[float, float, str]]) -> list[int]:
    """For each span the first row in which nothing, its name included, overlaps it."""
    ends: list[float] = []
    rows = []
    for a, b, name in spans:
        need = max(b, a + len(name) * LETTER + 12, b if b - a > len(name) * LETTER else b + len(name) * LETTER + 8)
        row = next((i for i, end in enumerate(ends) if end + 4 <= a), len(ends))
        ends[row : row + 1] = [need]
        rows.append(row)
    return rows

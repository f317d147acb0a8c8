"""What all lanes of a picture share: widths, row labels, legends, and how a moment is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from simulator.report.svg import element, label, tooltip
from simulator.scenario.quantities import MINUTE, NS, SECOND, show_duration

WIDTH: Final = 1212
LEFT: Final = 180.0
RIGHT: Final = 132.0
ROW: Final = 17.0
LEGEND: Final = 12.5  # height of one line
LETTER: Final = 6.8  # width of one letter of the small type, for deciding what fits


@dataclass(frozen=True, slots=True)
class Lane:
    """One drawn lane: markup relative to its own top, and how tall it is below its title."""

    title: str
    note: str
    height: float
    marks: tuple[str, ...]


def legend(names: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Names in the right margin, one to a line, each with the class that colours it."""
    for i, (name, kind) in enumerate(names):
        yield label(cut(name, RIGHT - 8), WIDTH - RIGHT + 8, 9 + i * LEGEND, class_=f"legend {kind}")


def row_label(name: str, middle: float, kind: str = "") -> str:
    """The name of one row in the left margin; what is cut there is whole on hover."""
    shown = cut(name, LEFT - 10)
    text = label(shown, LEFT - 8, middle + 3.5, class_=f"row {kind}".strip())
    return text if shown == name else element("g", tooltip(name), text)


def cut(name: str, room: float) -> str:
    """The name, or as much of it as `room` holds."""
    most = int(room / LETTER)
    return name if len(name) <= most else name[: most - 1] + "…"


def clock(ns: int) -> str:
    """An instant or a width as a person reads it: whole seconds from a minute on, milliseconds below."""
    unit = SECOND if ns >= MINUTE else NS["ms"] if ns >= NS["ms"] else 1
    return show_duration(ns // unit * unit)

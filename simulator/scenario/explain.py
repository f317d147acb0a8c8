"""A scenario in plain English, with a timeline, without running anything."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Final

from simulator.scenario.claims import sentence
from simulator.scenario.english import world
from simulator.scenario.happenings import happening
from simulator.scenario.load import Cell
from simulator.scenario.model import Expectation, Scenario
from simulator.scenario.quantities import show_duration
from simulator.scenario.timeline import Interval, end_ns, lasts, windows

__all__ = ["explain", "happening", "sentence", "timeline", "world"]

WIDTH: Final = 100
_TICKS: Final = 6


def explain(cell: Cell) -> str:
    """What one cell does and demands: prose for given, when and then, and an ASCII timeline."""
    scenario = cell.scenario
    parts = [f"{scenario.title}", cell.name]
    if scenario.because:
        parts += ["", *_wrapped(scenario.because, "")]
    parts += ["", "Given", *_wrapped(world(scenario), "  ")]
    parts += ["", "When", *_bullets((event.event, happening(event)) for event in scenario.when)]
    parts += ["", "Then", *_bullets((e.id, sentence(e) + _aside(e)) for e in scenario.then)]
    return "\n".join([*parts, "", *timeline(scenario), ""])


def _aside(expectation: Expectation) -> str:
    return " (warns only)" if expectation.severity == "warn" else ""


def timeline(scenario: Scenario) -> list[str]:
    """One row each for the warm-up, the events and the windows, over one time axis.

    ``#`` is what is done, ``=`` is where an expectation looks.
    """
    rows: list[tuple[str, str, tuple[Interval, ...]]] = []
    if scenario.given.warmup:
        rows.append(("warm-up", "~", ((0, scenario.given.warmup),)))
    rows += [(event.event, "#", (lasts(scenario, event),)) for event in scenario.when]
    rows += [(e.id, "=", windows(scenario, e)) for e in scenario.then]
    end = max(end_ns(scenario), 1)
    margin = max((len(name) for name, _, _ in rows), default=0)
    width = max(20, WIDTH - margin - 4)
    drawn = [f"{name:<{margin}} |{_bar(mark, spans, end, width)}|" for name, mark, spans in rows]
    return [f"{'':<{margin}}  {_axis(end, width)}", *drawn]


def _bar(mark: str, spans: tuple[Interval, ...], end: int, width: int) -> str:
    bar = [" "] * width
    for start, stop in spans:
        first = min(start * width // end, width - 1)
        last = max(first + 1, min(-(-stop * width // end), width))
        bar[first:last] = mark * (last - first)
    return "".join(bar)


def _axis(end: int, width: int) -> str:
    """Times at even distances, each standing where it is; the last one is the end."""
    line = [" "] * (width + 12)
    for tick in range(_TICKS + 1):
        moment = _rounded(end * tick // _TICKS, end)
        label = show_duration(moment) if tick else "0"
        at = moment * width // end
        line[at : at + len(label)] = label
    return "".join(line).rstrip()


def _rounded(moment: int, end: int) -> int:
    """To about three digits of the run, because a label such as 51m25s714ms says less than 51m."""
    for unit in (3_600_000_000_000, 60_000_000_000, 1_000_000_000, 1_000_000):
        if end >= 12 * unit and moment != end:
            return round(moment / unit) * unit
    return moment


def _bullets(items: Iterable[tuple[str, str]]) -> list[str]:
    listed = list(items)
    margin = max((len(name) for name, _ in listed), default=0)
    return [row for name, text in listed for row in _wrapped(text, " " * (margin + 4), f"  {name:<{margin}}  ")] or [
        "  nothing"
    ]


def _wrapped(text: str, indent: str, first: str | None = None) -> list[str]:
    return textwrap.wrap(
        " ".join(text.split()), WIDTH, initial_indent=indent if first is None else first, subsequent_indent=indent
    )

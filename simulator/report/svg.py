"""SVG from plain data: escaped elements, a time scale, round ticks, step paths. No colour: style sheets do that."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

import numpy as np

from simulator.scenario.quantities import HOUR, MINUTE, NS, SECOND

_STEPS: Final = (
    *(n * NS["ms"] for n in (1, 2, 5, 10, 20, 50, 100, 200, 500)),
    *(n * SECOND for n in (1, 2, 5, 10, 15, 30)),
    *(n * MINUTE for n in (1, 2, 5, 10, 15, 30)),
    *(n * HOUR for n in (1, 2, 3, 6, 12)),
    *(n * 24 * HOUR for n in (1, 2, 7, 14, 30, 90, 365)),
)


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps [0, end_ns] to [left, left + width] in user units."""

    end_ns: int
    left: float
    width: float

    def x(self, at_ns: float) -> float:
        """Horizontal position of an instant, kept inside the axis."""
        return self.left + self.width * min(max(at_ns / self.end_ns, 0.0), 1.0)


def element(name: str, *children: str, **attributes: object) -> str:
    """``<name …>children</name>``. Children are markup already; attribute values are escaped.

    A trailing underscore is dropped (``class_``), another becomes a hyphen; None leaves the attribute out.
    """
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_value(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{shown}>{''.join(children)}</{name}>" if children else f"<{name}{shown}/>"


def label(content: str, x: float, y: float, **attributes: object) -> str:
    """Text, escaped."""
    return element("text", escape(content, quote=False), x=x, y=y, **attributes)


def tooltip(content: str) -> str:
    """The ``<title>`` that viewers show on hover and read aloud."""
    return element("title", escape(content, quote=False))


def rect(x: float, y: float, width: float, height: float, *children: str, **attributes: object) -> str:
    """A rectangle; never so narrow that it cannot be seen."""
    return element("rect", *children, x=x, y=y, width=max(width, 1.5), height=height, **attributes)


def line(x1: float, y1: float, x2: float, y2: float, **attributes: object) -> str:
    """A straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, **attributes)


def ticks(end_ns: int, at_most: int = 10) -> tuple[int, ...]:
    """Round instants from 0 up to `end_ns`, at most so many steps apart."""
    step = next((step for step in _STEPS if end_ns / step <= at_most), _STEPS[-1] * -(-end_ns // _STEPS[-1]))
    return tuple(range(0, end_ns + 1, step))


def area(xs: np.ndarray, ys: np.ndarray, floor: float) -> str:
    """Path data of a filled staircase down to `floor`. `xs` are the edges (one more than `ys`); NaN leaves a gap."""
    return "".join(
        f"M{_coordinate(xs[a])} {_coordinate(floor)}{_stairs(xs[a : b + 1], ys[a:b])}V{_coordinate(floor)}Z"
        for a, b in _runs(ys)
    )


def staircase(xs: np.ndarray, ys: np.ndarray) -> str:
    """Path data of an open staircase; edges and gaps as in `area`."""
    return "".join(f"M{_coordinate(xs[a])} {_coordinate(ys[a])}{_stairs(xs[a : b + 1], ys[a:b])}" for a, b in _runs(ys))


def _stairs(xs: Sequence[float] | np.ndarray, ys: Sequence[float] | np.ndarray) -> str:
    # Equal neighbours share one step, which is most of what keeps a page small.
    steps = [_coordinate(y) for y in ys]
    parts = []
    for i, step in enumerate(steps):
        if i == 0 or step != steps[i - 1]:
            parts.append(f"V{step}")
        if i + 1 == len(steps) or step != steps[i + 1]:
            parts.append(f"H{_coordinate(xs[i + 1])}")
    return "".join(parts)


def _runs(ys: np.ndarray) -> list[tuple[int, int]]:
    """Half-open index ranges without a NaN."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], np.isfinite(ys).astype(np.int8), [0]))))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _coordinate(value: float) -> str:
    """One decimal: a tenth of a pixel is as much as anyone sees."""
    if not math.isfinite(value):
        raise ValueError(f"a coordinate must be finite, not {value}")
    return f"{round(value, 1) + 0.0:.1f}".removesuffix(".0")  # + 0.0: no negative zero


def _value(value: object) -> str:
    return _coordinate(value) if isinstance(value, float) else str(value)

"""How numbers, moments and items are spelled in a finding."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from simulator.history.schema import History
from simulator.scenario.quantities import NS, show_duration, show_share

MOST_WITNESSES: Final = 10


def moment(ns: int) -> str:
    """A moment or a length, to the millisecond where that says it, exactly where it would not."""
    rounded = ns // NS["ms"] * NS["ms"]
    return show_duration(ns if abs(ns) < NS["ms"] else rounded)


def share(value: float) -> str:
    """A share to three significant digits: ``0.0652%``."""
    return show_share(float(f"{value:.3g}"))


def item(history: History, position: int) -> str:
    """Where an item is to be found: ``main/4711#1 at 31m2.5s``."""
    items = history.items
    copy = int(items["copy"][position])
    return (
        f"{items['stream'][position]}/{int(items['index'][position])}{f'#{copy}' if copy else ''}"
        f" at {moment(int(items['scheduled_ns'][position]))}"
    )


def score(value: float) -> str:
    """A score as it was replied, or that there was none."""
    return f"score {value:.6g}" if np.isfinite(value) else "no score"


def few(lines: Iterable[str]) -> tuple[str, ...]:
    """At most ten of them."""
    return tuple(line for line, _ in zip(lines, range(MOST_WITNESSES), strict=False))

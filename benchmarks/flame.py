"""Stacks as a flame graph: SVG with a title on each bar, without a script (Gregg, The Flame Graph, CACM 59, 2016)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from typing import Final, NamedTuple

WIDTH: Final = 1200
HEIGHT: Final = 17
LETTER: Final = 6.6  # pixels of a letter of 11 px
NARROW: Final = 0.4  # pixels; what is narrower is not drawn


class Bar(NamedTuple):
    """One function in one place of the tree."""

    depth: int
    start: int  # samples to its left
    samples: int
    name: str
    colour: str


def draw(stacks: Iterable[tuple[tuple[tuple[str, str], ...], int]], title: str) -> str:
    """The SVG of (((name, colour), …), samples)."""
    ordered = sorted(stacks)
    total = sum(count for _, count in ordered)
    bars = list(_bars(ordered, 0, 0))
    deepest = max(bar.depth for bar in bars)
    high = (deepest + 3) * HEIGHT
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {high}" font-family="monospace" font-size="11">',
        f'<rect width="{WIDTH}" height="{high}" fill="white"/><text x="4" y="12">{escape(title)}</text>',
    ]
    for bar in bars:
        wide = bar.samples / total * WIDTH
        if wide < NARROW:
            continue
        x, y = bar.start / total * WIDTH, high - (bar.depth + 1) * HEIGHT
        shown = bar.name[: int(wide / LETTER)] if wide > 3 * LETTER else ""
        lines.append(
            f'<g><title>{escape(bar.name)}: {bar.samples / total:.1%}</title><rect x="{x:.1f}" y="{y}" '
            f'width="{wide:.1f}" height="{HEIGHT - 1}" fill="{bar.colour}"/>'
            + (f'<text x="{x + 2:.1f}" y="{y + 12}">{escape(shown)}</text>' if shown else "")
            + "</g>"
        )
    return "\n".join([*lines, "</svg>", ""])


def _bars(ordered: list[tuple[tuple[tuple[str, str], ...], int]], depth: int, start: int) -> Iterator[Bar]:
    """The bars from this depth on, of stacks that are the same below it."""
    at = 0
    while at < len(ordered):
        stack = ordered[at][0]
        if len(stack) <= depth:
            start += ordered[at][1]
            at += 1
            continue
        end = at
        while end < len(ordered) and ordered[end][0][depth : depth + 1] == stack[depth : depth + 1]:
            end += 1
        count = sum(samples for _, samples in ordered[at:end])
        yield Bar(depth, start, count, *stack[depth])
        yield from _bars(ordered[at:end], depth + 1, start)
        start += count
        at = end

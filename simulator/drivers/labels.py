"""The label feed: truth becomes known at its moment, and is posted with the feed's next tick."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

BATCH: Final = 512


# One label to deliver: (item, request id, row, label). A plain tuple: one is made for every row of a run.
Due = tuple[int, str, int, int]


class LabelFeed:
    """Collects labels by the tick at which they will be posted. `schedule(tick_ns)` is asked once per tick."""

    def __init__(self, every_ns: int, schedule: Callable[[int], None]) -> None:
        self._every = every_ns
        self._schedule = schedule
        self._by_tick: dict[int, list[Due]] = {}

    def add(self, now_ns: int, due_ns: int, label: Due) -> None:
        """A label that becomes known at `due_ns` (or at once, if that has passed)."""
        if due_ns <= now_ns:
            due_ns = now_ns + 1
        tick = -(-due_ns // self._every) * self._every
        waiting = self._by_tick.get(tick)
        if waiting is None:
            self._by_tick[tick] = [label]
            self._schedule(tick)
        else:
            waiting.append(label)

    def expect(self, now_ns: int) -> None:
        """Labels known from `now_ns` on may be added later: the next tick must not be missed."""
        tick = (now_ns // self._every + 1) * self._every
        if tick not in self._by_tick:
            self._by_tick[tick] = []
            self._schedule(tick)

    def take(self, tick_ns: int) -> list[list[Due]]:
        """What is due at that tick, in batches."""
        due = self._by_tick.pop(tick_ns, [])
        return [due[i : i + BATCH] for i in range(0, len(due), BATCH)]


class _Label(msgspec.Struct, gc=False):
    id: str
    row: int
    label: int


def body(labels: list[Due]) -> bytes:
    """The JSON body of one post."""
    return msgspec.json.encode({"labels": [_Label(name, row, label) for _, name, row, label in labels]})

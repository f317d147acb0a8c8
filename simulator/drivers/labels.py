"""The label feed: truth becomes known at its moment, and is posted with the feed's next tick."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec
import numpy as np

from simulator.scenario.verbs import Event
from simulator.world.chunk import Chunk

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


class Twice:
    """Labels whose first delivery is taken for lost, and which therefore come again: one event a time, at most.

    Args:
        when: the scenario's events.
    """

    def __init__(self, when: Sequence[Event]) -> None:
        self._events = [(k, event.label_twice.after) for k, event in enumerate(when) if event.label_twice]
        self._first: dict[int, tuple[int, int]] = {}  # item → its event, and how long after the first the second comes
        self._second: dict[int, tuple[int, int]] = {}  # item → its event, and the moment
        self._came: Counter[int] = Counter()  # event → second deliveries that were acknowledged

    def planned(self, chunk: Chunk, first_item: int) -> None:
        """Remember which items of a chunk are concerned; `first_item` is the ordinal of its first row."""
        for k, after in self._events:
            hit = (chunk.touched >> np.uint64(k)) & np.uint64(1) == 1
            for i in np.flatnonzero(hit & (chunk.copy == 0)).tolist():
                self._first[first_item + i] = (k, after)

    def delivered(self, batch: Iterable[Due], at_ns: int, feed: LabelFeed) -> list[Due]:
        """Those labels that came for the first time; what is to come again goes back into the feed."""
        if not self._events:
            return list(batch)
        fresh = []
        for due in batch:
            if (again := self._second.pop(due[0], None)) is not None:
                self._came[again[0]] += 1
                continue
            fresh.append(due)
            if (first := self._first.pop(due[0], None)) is not None:
                self._second[due[0]] = (first[0], at_ns + first[1])
                feed.add(at_ns, at_ns + first[1], due)
        return fresh

    def receipt(self, k: int, end_ns: int) -> tuple[int, int]:
        """Second deliveries of an event that were due by then, and those that were acknowledged."""
        overdue = sum(event == k and at_ns < end_ns for event, at_ns in self._second.values())
        return self._came[k] + overdue, self._came[k]


class _Label(msgspec.Struct, gc=False):
    id: str
    row: int
    label: int


def body(labels: list[Due]) -> bytes:
    """The JSON body of one post."""
    return msgspec.json.encode({"labels": [_Label(name, row, label) for _, name, row, label in labels]})

"""Scenario and seed → the exogenous plan: who sends what when, in chunks ordered by scheduled time.

Streams make their items in due order; lateness moves some of them further down. The plan merges the streams,
holding back only what a stream might still come before, so its memory is a block per stream and what is late.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import msgspec
import numpy as np

from simulator.scenario.model import Scenario
from simulator.scenario.quantities import SECOND
from simulator.scenario.verbs import Event
from simulator.world import arrivals
from simulator.world.arrivals import Pace
from simulator.world.chunk import COLUMNS, Chunk, joined, part, taken
from simulator.world.keyed import Draw
from simulator.world.population import Population, Recorded, Slice
from simulator.world.populations import misfit
from simulator.world.stream import Stream, World, chunks

__all__ = ["Chunk", "PlanDigest", "end_ns", "plan"]

_ENDLESS: Final = 2**63 - 1
_RECORD: Final = json.JSONEncoder(separators=(",", ":"))


def plan(
    scenario: Scenario,
    population: Population,
    *,
    capacity_per_second: float | None = None,
    chunk_rows: int = 8192,
) -> Iterator[Chunk]:
    """The items of a scenario in the order in which they are scheduled.

    Args:
        scenario: What happens; its seed decides every draw.
        population: The population that `given.population` names.
        capacity_per_second: Requests that the target can answer, for loads given as a multiple of its capacity.
        chunk_rows: About how many rows are made and given out at a time. Changes nothing else.

    Raises:
        ValueError: The scenario asks for what the population or the target lacks.
    """
    given = scenario.given
    end = _traffic_end(scenario, population)
    world = World(population, given.labels, scenario.when, given.traffic.batch, end, given.feedback)
    streams = _streams(scenario, population, world.end_ns, capacity_per_second, chunk_rows)
    heads = [_Head(stream, world, rank, len(streams)) for rank, stream in enumerate(streams)]
    return _numbered(_merged(heads), chunk_rows)


def end_ns(scenario: Scenario, population: Population) -> int:
    """The first instant at which nothing is scheduled any more, late and second deliveries included.

    An upper bound where events overlap: each is taken to push what others have pushed already.
    """
    end = _traffic_end(scenario, population)
    pushes = [(event, event.params.by) for event in scenario.when if event.verb == "late"]
    pushes += [(event, event.params.after) for event in scenario.when if event.verb == "duplicate"]
    over = [_last(event, end) + sum(int(by) for _, by in pushes) for event, _ in pushes]
    again = scenario.given.feedback.after if scenario.given.feedback and scenario.given.feedback.again else 0
    return max([end, *over]) + again


def _last(event: Event, end: int) -> int:
    return end if event.length is None else min(end, event.at + event.length)


def _traffic_end(scenario: Scenario, population: Population) -> int:
    part_of_record = _replayed(scenario, population)
    if part_of_record is not None:
        return part_of_record.end_ns - part_of_record.start_ns
    return int(scenario.given.traffic.length or 0)


def _replayed(scenario: Scenario, population: Population) -> Slice | None:
    replay = scenario.given.traffic.replay
    if why := misfit(population, scenario.given.traffic):
        raise ValueError(why)
    return population.slice(replay.start, replay.end) if replay and isinstance(population, Recorded) else None


# ---------------------------------------------------------------- streams


def _streams(
    scenario: Scenario, population: Population, end: int, capacity: float | None, block: int
) -> tuple[Stream, ...]:
    """The main stream, and one for each load event."""
    traffic = scenario.given.traffic
    draw = Draw(scenario.seed, "main")
    record = _replayed(scenario, population)
    if record is None:
        base = float(traffic.rate or 0.0)
        pace = Pace(base * traffic.batch, 0, end, traffic.arrivals, traffic.rhythm)
        streams = [Stream("main", draw, arrivals.paced(draw, pace, block))]
        positions = None
    else:
        index = np.arange(record.first, record.last, dtype=np.int64)
        positions = (record.first, len(index))
        base = len(index) / traffic.batch / (end / SECOND)
        times = population.rows(draw, index, index).event_ns
        streams = [Stream("main", draw, arrivals.replayed(record, times, block))]
    for k, event in enumerate(scenario.when):
        if event.verb == "load":
            draw = Draw(scenario.seed, f"load:{event.event}")
            rate, ramp = _extra(event, base, capacity) * traffic.batch, event.params.over or 0
            pace = Pace(rate, event.at, _last(event, end), traffic.arrivals, ramp_ns=ramp)
            blocks = arrivals.paced(draw, pace, block) if pace.rate > 0 else iter(())
            distinct = event.params.distinct
            streams.append(Stream(draw.stream, draw, blocks, load=k, positions=positions, distinct=distinct))
    return tuple(streams)


def _extra(event: Event, base: float, capacity: float | None) -> float:
    """Requests per second that a load adds to the mean `base`, so that the total is what it says."""
    level = event.params.to
    if level.unit == "capacity":
        if capacity is None:
            raise ValueError(f"event {event.event}: the target does not say what its capacity is; give a rate")
        return float(level.value * capacity - base)
    return float((level.value * base if level.unit == "base" else level.value) - base)


# ---------------------------------------------------------------- merging


class _Head:
    """A stream as far as it has been read. `horizon`: nothing that is still to come is scheduled before it."""

    def __init__(self, stream: Stream, world: World, rank: int, streams: int) -> None:
        self._chunks = chunks(stream, world)
        self._rank, self._streams = rank, streams
        self.horizon = 0 if stream.load is None else world.events[stream.load].at

    def read(self) -> Chunk | None:
        """The next items, `request` now unlike that of any other stream; None at the end."""
        chunk = next(self._chunks, None)
        if chunk is None:
            return None
        # A request is due with its last row, and only lateness comes after that.
        self.horizon = int(chunk.event_ns[chunk.copy == 0][-1])
        return replace(chunk, request=chunk.request * self._streams + self._rank)


def _merged(heads: list[_Head]) -> Iterator[Chunk]:
    """All items in scheduled order; ties by the request's first index, then stream, copy, row."""
    held: list[Chunk] = []  # each in order
    while heads:
        head = min(heads, key=lambda h: h.horizon)
        chunk = head.read()
        if chunk is None:
            heads.remove(head)
        else:
            held.append(_ordered(chunk))
        limit = min((h.horizon for h in heads), default=_ENDLESS)
        ready, held = _split(held, limit)
        if ready:
            yield _ordered(joined(ready))


def _split(held: list[Chunk], limit: int) -> tuple[list[Chunk], list[Chunk]]:
    """What is scheduled before the limit, and the rest."""
    ready, rest = [], []
    for chunk in held:
        n = int(np.searchsorted(chunk.scheduled_ns, limit))
        if n:
            ready.append(part(chunk, 0, n))
        if n < len(chunk):
            rest.append(part(chunk, n, len(chunk)) if n else chunk)
    return ready, rest


def _ordered(chunk: Chunk) -> Chunk:
    order = np.lexsort((chunk.row, chunk.copy, chunk.request, chunk.scheduled_ns))
    return chunk if (order[1:] > order[:-1]).all() else taken(chunk, order)


def _numbered(merged: Iterator[Chunk], chunk_rows: int) -> Iterator[Chunk]:
    """The same items with dense request ordinals, in chunks of about that many rows that keep requests whole."""
    ordinal = 0
    for items in merged:
        new = (np.diff(items.request, prepend=items.request[0] - 1) != 0) | (
            np.diff(items.copy, prepend=items.copy[0]) != 0
        )
        starts = np.flatnonzero(new)
        numbered = replace(items, request=ordinal - 1 + np.cumsum(new, dtype=np.int64))
        ordinal += len(starts)
        first = 0
        while first < len(items):
            last = len(items)
            if last - first > chunk_rows:  # cut before the request that would be too much, but never inside one
                cuts = starts[(starts > first) & (starts <= first + chunk_rows)]
                last = (
                    int(cuts[-1]) if len(cuts) else int(starts[starts > first][0]) if (starts > first).any() else last
                )
            yield part(numbered, first, last)
            first = last


# ---------------------------------------------------------------- digest


class PlanDigest:
    """SHA-256 over the logical rows of a plan, however it is cut into chunks."""

    def __init__(self) -> None:
        self._columns: dict[str, Any] = {}
        self._rows = 0

    def update(self, chunk: Chunk) -> None:
        """Take in the next items."""
        for name in COLUMNS:
            self._add(name, getattr(chunk, name))
        for name, column in chunk.sent.items():
            self._add(f"sent {name}", column)
        for i in sorted(chunk.overrides):
            record = _RECORD.encode([self._rows + i, chunk.overrides[i]])
            self._hash("overrides").update(record.encode())
        self._rows += len(chunk)

    def hexdigest(self) -> str:
        """The digest of all items so far."""
        whole = hashlib.sha256(str(self._rows).encode())
        for name in sorted(self._columns):
            whole.update(name.encode() + b"\0" + self._columns[name].digest())
        return whole.hexdigest()

    def _add(self, name: str, column: np.ndarray) -> None:
        if column.dtype == object:  # JSON tells null from text, and one text from the next
            self._hash(name).update(msgspec.json.encode(column.tolist())[1:-1] + b",")
        else:
            little = column.astype(column.dtype.newbyteorder("<"), copy=False)
            if column.dtype.kind == "f":
                little = np.where(np.isnan(little), np.nan, little)  # machines differ in the sign of NaN
            self._hash(name).update(np.ascontiguousarray(little))

    def _hash(self, name: str) -> Any:
        return self._columns.setdefault(name, hashlib.sha256())

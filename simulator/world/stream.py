"""One stream of traffic: arrivals → rows → truth → labels → representation → transport, a block at a time.

An item is in an event's window if the moment at which its request is due, before any lateness, is in
[at, at + for). Whether a row in the window is touched is its own lot, so events do not get in each other's way.
`where` sees what clients send: before representation events, and for world events before the drift itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from simulator.scenario.model import Feedback, Labels
from simulator.scenario.verbs import Event
from simulator.world import labels
from simulator.world.arrivals import Block
from simulator.world.chunk import Chunk, joined
from simulator.world.disturbances import prior, representation, transport, world
from simulator.world.disturbances.selection import in_window, touched
from simulator.world.keyed import Draw
from simulator.world.population import Population, Rows, Truth


@dataclass(frozen=True, slots=True)
class World:
    """What all streams of a plan share."""

    population: Population
    labels: Labels
    events: tuple[Event, ...]
    batch: int
    end_ns: int  # of the traffic
    feedback: Feedback | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """A named stream. `load` is the position of the load event that brings it, or None for the main stream.

    `recorded` streams take rows of a record: the main stream those at its own positions, a stream of load any of
    `positions` (first, count), at its own times. Of a bot's stream only so many rows are `distinct`.
    """

    name: str
    draw: Draw
    blocks: Iterator[Block]
    load: int | None = None
    positions: tuple[int, int] | None = None
    distinct: int | None = None


def chunks(stream: Stream, world: World) -> Iterator[Chunk]:
    """Items in due order, whole requests; `request` is the index of a request's first row, and not yet an ordinal."""
    outliers = {k: 0 for k, event in enumerate(world.events) if event.verb == "outlier"}
    for block in _batched(stream.blocks, world.batch):
        yield _Making(stream, world, block, outliers).chunk()


def _batched(blocks: Iterator[Block], batch: int) -> Iterator[Block]:
    """The same arrivals in blocks of whole batches; only the last may end with a part of one."""
    index, event_ns = np.empty(0, np.int64), np.empty(0, np.int64)
    for block in blocks:
        index, event_ns = np.append(index, block.index), np.append(event_ns, block.event_ns)
        whole = len(index) - len(index) % batch
        if whole:
            yield Block(index[:whole], event_ns[:whole])
            index, event_ns = index[whole:], event_ns[whole:]
    if len(index):
        yield Block(index, event_ns)


def _bit(k: int, hit: np.ndarray) -> np.ndarray:
    bits: np.ndarray = hit.astype(np.uint64) << np.uint64(k)
    return bits


class _Making:
    """One block on its way to a chunk: the arrays that the layers fill in, one method a layer."""

    def __init__(self, stream: Stream, world: World, block: Block, outliers: dict[int, int]) -> None:
        self.world, self.stream, self.draw, self.index = world, stream, stream.draw, block.index
        self.outliers = outliers  # rows that each outlier event still counts, carried from block to block
        n = len(block.index)
        place = np.arange(n, dtype=np.int64)
        self.row = place % world.batch
        self.first = place - self.row
        last = np.minimum(self.first + world.batch, n) - 1
        self.event_ns = block.event_ns
        self.due_ns = block.event_ns[last]  # a request leaves with its last row
        self.touched = np.zeros(n, np.uint64)
        self.potent = np.zeros(n, np.uint64)

    def chunk(self) -> Chunk:
        rows, truth = self._world()
        label_due_ns = self._labels(rows, truth)
        reported = self._reported(rows, truth, label_due_ns)
        overrides = self._representation(rows, truth)
        self._garbled(rows)
        self._badly_sent(rows)
        scheduled_ns = self._late(rows)
        if self.stream.load is not None:
            everything = np.ones(len(self.index), dtype=bool)
            self._mark(self.stream.load, everything, everything)
        chunk = Chunk(
            stream=np.full(len(self.index), self.stream.name, dtype=object),
            index=self.index,
            copy=np.zeros(len(self.index), np.int16),
            request=self.index[self.first],
            row=self.row.astype(np.int16),
            entity=rows.entity,
            segment=rows.segment,
            event_ns=self.event_ns,
            scheduled_ns=scheduled_ns,
            touched=self.touched,
            potent=self.potent,
            truth=truth.label,
            reported=reported,
            label_due_ns=label_due_ns,
            retry_u=self.draw.uniform("retry", self.index),
            react_u=self.draw.uniform("react", self.index),
            sent=rows.sent,
            overrides=overrides,
        )
        return self._service(joined([chunk, *self._duplicates(chunk), *self._second_tries(chunk)]))

    def _of(self, *verbs: str) -> Iterator[tuple[int, Event]]:
        return ((k, event) for k, event in enumerate(self.world.events) if event.verb in verbs)

    def _hit(self, event: Event, rows: Rows) -> np.ndarray:
        return touched(self.draw, event, self.index, self.due_ns, rows.sent)

    def _mark(self, k: int, hit: np.ndarray, changed: np.ndarray) -> None:
        self.touched |= _bit(k, hit)
        self.potent |= _bit(k, hit & changed)

    def _world(self) -> tuple[Rows, Truth]:
        population, position = self.world.population, self.index
        if self.stream.positions is not None:
            first, count = self.stream.positions
            position = first + self.draw.below("position", self.index, count)
        elif self.stream.distinct is not None:
            position = self.index % self.stream.distinct
        rows = replace(population.rows(self.draw, position, self.event_ns), event_ns=self.event_ns)
        rows, others = self._prior(rows, position)
        for k, event in self._of("drift"):
            name = event.params.field
            field = next((field for field in population.fields if field.name == name), None)
            if field is None:
                raise ValueError(f"event {event.event}: the population {population.name} has no field {name!r}")
            if in_window(event, self.due_ns).any():
                was = rows.sent[name]
                rows, hit = world.drifted(
                    rows, field, event,
                    draw=self.draw, index=self.index, at_ns=self.due_ns, end_ns=self.world.end_ns,
                )  # fmt: skip
                self._mark(k, hit, (was != rows.sent[name]) & (was == was))  # noqa: PLR0124 - NaN stays NaN
        truth = population.truth(self.draw, position, rows)
        for draw, index, there in others:
            truth = prior.replaced_truth(truth, population.truth(draw, index, rows), there)
        for k, event in self._of("concept"):
            flips = world.flips(event, self.draw, self.index, self.due_ns, self.world.end_ns)
            hit = self._hit(event, rows) & flips
            self._mark(k, hit, truth.label >= 0)
            truth = world.reversed_truth(truth, hit)
        return rows, truth

    def _prior(self, rows: Rows, position: np.ndarray) -> tuple[Rows, list[tuple[Draw, np.ndarray, np.ndarray]]]:
        """The rows under a prior shift, and for each event whose rows they are, and where: their truth is theirs."""
        population, others = self.world.population, []
        for k, event in self._of("prior"):
            asked = np.flatnonzero(self._hit(event, rows))
            if not len(asked):
                continue
            known = population.truth(self.draw, position, rows)
            label = replace(known, label=known.label[asked], label_after_ns=known.label_after_ns[asked])
            found = prior.replacements(
                population, self.draw, event, index=self.index[asked], event_ns=self.event_ns[asked], truth=label
            )
            whole = np.full(len(self.index), -1, dtype=np.int64)
            whole[asked] = found
            there, draw = whole >= 0, prior.line(self.draw, event)
            rows = prior.replaced(rows, population.rows(draw, whole, self.event_ns), there)
            self._mark(k, there, there)
            others.append((draw, whole, there))
        return rows, others

    def _labels(self, rows: Rows, truth: Truth) -> np.ndarray:
        due = labels.due_ns(self.draw, self.index, self.event_ns, truth, self.world.labels)
        for k, event in self._of("label_delay", "label_loss"):
            hit = self._hit(event, rows) & transport.of_outcome(event, truth.label)
            was = due
            lost = event.verb == "label_loss"
            due = transport.labels_lost(due, hit) if lost else transport.labels_late(due, hit, event.params.by)
            self._mark(k, hit, due != was)
        for k, event in self._of("label_twice"):
            hit = self._hit(event, rows) & transport.of_outcome(event, truth.label) & (due != labels.NEVER)
            self._mark(k, hit, hit)  # the driver delivers them; the plan knows which
        return due

    def _reported(self, rows: Rows, truth: Truth, due_ns: np.ndarray) -> np.ndarray:
        """What the labels say, which need not be the truth. One that never comes says nothing."""
        reported = truth.label
        for k, event in self._of("label_noise"):
            hit = self._hit(event, rows) & transport.of_outcome(event, truth.label) & (truth.label >= 0)
            reported = world.opposite(reported, hit)
            self._mark(k, hit, due_ns != labels.NEVER)
        return reported

    def _garbled(self, rows: Rows) -> None:
        """Whole bodies are garbled when there are bodies; the plan knows which."""
        for k, event in self._of("garble"):
            hit = transport.of_request(self._hit(event, rows), self.row)
            self._mark(k, hit, hit)

    def _representation(self, rows: Rows, truth: Truth) -> dict[int, representation.Record]:
        hits = [(k, event, self._hit_by(k, event, rows, truth)) for k, event in self._of(*representation.VERBS)]
        hits = [(k, event, hit) for k, event, hit in hits if hit.any()]
        if not hits:
            return {}
        fields = self.world.population.fields
        named = {field.name: field for field in fields}
        items = np.flatnonzero(np.logical_or.reduce([hit for _, _, hit in hits]))
        clean = dict(zip(items.tolist(), representation.records(rows.sent, fields, items), strict=True))
        now = dict(clean)
        marks = []
        for k, event, hit in hits:
            verb, params = representation.VERBS[event.verb], event.params
            field = named.get(getattr(params, "field", ""))
            # One order for the whole request: its first row's.
            keys = self.draw.bits(f"order {event.event}", self.index[self.first]).tolist()
            changed = np.zeros(len(hit), dtype=bool)
            for i in np.flatnonzero(hit).tolist():
                was = now[i]
                now[i] = verb(was, params, field, keys[i])
                changed[i] = representation.differs(was, now[i])
            marks.append((k, hit, changed))
        others = {i: record for i, record in now.items() if representation.differs(clean[i], record)}
        # What one event did and the next one took back was never sent.
        sent = np.zeros(len(self.index), dtype=bool)
        sent[list(others)] = True
        for k, hit, changed in marks:
            self._mark(k, hit, changed & sent)
        return others

    def _hit_by(self, k: int, event: Event, rows: Rows, truth: Truth) -> np.ndarray:
        """Rows that a representation event touches: of a respelling those of its category, of outliers a few."""
        hit = self._hit(event, rows)
        if event.verb == "nulls":
            hit = hit & transport.of_outcome(event, truth.label)
        elif event.verb == "respell":
            hit = hit & (rows.sent[event.params.field] == event.params.category)
        elif event.verb == "outlier":
            if self.stream.load is not None:  # the count is one of the main stream
                return np.zeros_like(hit)
            hit = hit & (np.cumsum(hit) + self.outliers[k] <= event.params.count)
            self.outliers[k] += int(hit.sum())
        return hit

    def _late(self, rows: Rows) -> np.ndarray:
        scheduled: np.ndarray = self.due_ns
        for k, event in self._of("late"):
            hit = transport.of_request(self._hit(event, rows), self.row)
            scheduled = transport.delivered_late(scheduled, hit, event.params.by)
            self._mark(k, hit, np.full(len(hit), event.params.by > 0))
        return scheduled

    def _duplicates(self, chunk: Chunk) -> Sequence[Chunk]:
        """Copies, numbered in the order of the scenario's events; the originals stay as they were, and untouched."""
        made: list[Chunk] = []
        number = np.zeros(len(self.index), np.int16)
        for k, event in self._of("duplicate"):
            hit = touched(self.draw, event, self.index, self.due_ns, chunk.sent)
            hit = transport.of_request(hit, self.row)
            if not hit.any():
                continue
            again = self.draw.uniform(f"retry {event.event}", self.index)
            source = replace(
                chunk, copy=number, touched=chunk.touched | _bit(k, hit), potent=chunk.potent | _bit(k, hit)
            )
            made.append(transport.duplicates(source, hit, event.params.after, again))
            number = number + hit.astype(np.int16)
        return made

    def _badly_sent(self, rows: Rows) -> None:
        """The driver sends these over a bad network; the plan knows which."""
        for k, event in self._of("network"):
            hit = transport.of_request(self._hit(event, rows), self.row)
            self._mark(k, hit, hit)

    def _second_tries(self, chunk: Chunk) -> Sequence[Chunk]:
        """Requests that will be sent only if their first try meets a decision that people react to."""
        feedback = self.world.feedback
        if feedback is None or not feedback.again:
            return ()
        hit = chunk.react_u >= 1.0 - feedback.again
        again = self.draw.uniform("retry again", self.index)
        number = np.full(len(chunk), transport.AGAIN - 1, np.int16)
        return (transport.duplicates(replace(chunk, copy=number), hit, feedback.after, again),) if hit.any() else ()

    def _service(self, chunk: Chunk) -> Chunk:
        """Faults of the service concern every item scheduled while they last; a release is known by its replies."""
        marked = chunk.touched
        for k, event in self._of("dependency", "model", "restart", "pause", "cpu", "memory"):
            marked = marked | _bit(k, in_window(event, chunk.scheduled_ns))
        return replace(chunk, touched=marked)

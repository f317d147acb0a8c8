"""What every driver does with a plan and its replies, whatever the clock: take chunks, record, seal."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import repeat
from operator import itemgetter
from typing import Any, Final, NamedTuple, Protocol
from zlib import crc32

import numpy as np

from simulator.drivers.decisions import fetch
from simulator.drivers.labels import Due, LabelFeed, Twice
from simulator.drivers.one_value import with_one_value_of
from simulator.drivers.receipts import ServiceReceipt, realise, unsupported
from simulator.drivers.spec import RunSpec, Warmup
from simulator.history.append import PLAN_COLUMNS, ReplyRow, Writer
from simulator.history.read import read, rows_kept, seal
from simulator.history.schema import AlertRecord, Header, History, Note, Outcome, Source
from simulator.plan import Chunk, PlanDigest
from simulator.scenario.disturbances import Network
from simulator.targets.bodies import garbled
from simulator.targets.leaks import leak
from simulator.targets.protocol import Codec, Reply
from simulator.targets.rows import request_ids, spans
from simulator.world.chunk import taken
from simulator.world.disturbances.transport import AGAIN

_ITEM: Final = itemgetter(0)  # of a Due
_NO_SOURCE: Final = Source.NONE
_FIRST_ERROR: Final = 400
_TOGETHER: Final = 256  # requests decoded and recorded at a time: their bodies still fit the processor's cache


class Planned(NamedTuple):
    """What the plan says of one request."""

    item: int  # ordinal of its first row
    request_id: str
    scheduled_ns: int
    body: bytes
    truth: tuple[int, ...] | None  # one label a row; None if this is a duplicate, whose label came with the first
    due: tuple[int, ...]  # when each label becomes known, -1 never
    retry_u: float
    key: str = ""  # idempotency key; empty: none
    entity: int = -1  # whose request it is, and the uniform that decides its reaction to the reply
    react_u: float = 0.0


class Sent(Protocol):
    """How one request went, by the harness' clock."""

    planned: Planned
    sent_ns: int
    seen_ns: int
    replied_ns: int
    ended_ns: int  # replied, or given up
    attempt: int
    status: int
    reply: bytes
    failure: Outcome | None  # why there is no reply to decode


def requests(chunk: Chunk, bodies: list[bytes], items: Sequence[int]) -> list[Planned]:
    """The chunk's requests as plain Python values, ready to be sent; `items` are the ordinals of its rows."""
    labels_say, due = chunk.reported.tolist(), chunk.label_due_ns.tolist()
    where = spans(chunk)
    firsts = [i for i, _ in where]
    labels: list[tuple[int, ...] | None]
    moments: list[tuple[int, ...]]
    if len(where) == len(chunk):  # one row each, as mostly: three times faster than cutting one by one
        labels, moments = list(zip(labels_say)), list(zip(due))
    else:
        labels, moments = [tuple(labels_say[i:j]) for i, j in where], [tuple(due[i:j]) for i, j in where]
    for k in np.flatnonzero(chunk.copy[firsts]).tolist():
        labels[k] = None
    columns = zip(
        [items[i] for i in firsts], request_ids(chunk, firsts), chunk.scheduled_ns[firsts].tolist(), bodies,
        labels, moments, chunk.retry_u[firsts].tolist(), repeat("", len(firsts)), chunk.entity[firsts].tolist(),
        chunk.react_u[firsts].tolist(), strict=True,
    )  # fmt: skip
    return list(map(Planned._make, columns))


def keyed(planned: list[Planned], chunk: Chunk, others: int, nearly: int) -> list[Planned]:
    """The requests as clients send them that retry under a key: the key is the first delivery's id.

    A second delivery says what the first one said, its id included; or, where an event of the bits `others` touches
    it, what its neighbour in the plan says; where one of the bits `nearly` does, one value of that.
    """
    bits = [chunk.touched[i] for i, _ in spans(chunk)]
    found = []
    for i, one in enumerate(planned):
        key, _, copy = one.request_id.partition("~")
        body = one.body
        if copy:
            first, touched = body.replace(one.request_id.encode(), key.encode(), 1), int(bits[i])
            # Whoever is alone in its chunk is another one by its id: nobody is there to take values from.
            there = planned[i - 1 if i else 1] if len(planned) > 1 else one
            if not touched & (others | nearly):
                body = first
            elif touched & others or there is one:
                body = there.body
            else:
                body = with_one_value_of(first, there.body, one.item, (key.encode(), there.request_id.encode()))
        found.append(one._replace(key=key, body=body))
    return found


class Recorder:
    """Streams one run into its history. `schedule_labels` is asked once per tick of the label feed."""

    def __init__(
        self, spec: RunSpec, codec: Codec, driver: str, end_ns: int, schedule_labels: Callable[[int], None]
    ) -> None:
        given = spec.scenario.given
        self._spec, self._codec, self._driver, self._end = spec, codec, driver, end_ns
        self._writer = Writer(spec.folder)
        self._digest = PlanDigest()
        self._items = 0
        self._handed: Counter[str] = Counter()  # rows that were given to the history: as many must be read in the end
        self._censored = frozenset(spec.target.labels.censored_by) if spec.target.labels else frozenset()
        self._warm_since, self._warm_until = given.warmup // 2, given.warmup
        self._warm: list[tuple[Outcome, int]] = []
        self._named: set[str] = set()
        self._first = min((event.at for event in spec.scenario.when), default=end_ns)
        self._feed = LabelFeed(given.labels.every, schedule_labels)
        self._twice = Twice(spec.scenario.when)
        self._ended: list[Sent] = []
        twice = [(k, event.duplicate) for k, event in enumerate(spec.scenario.when) if event.duplicate]
        self._keyed = any(duplicate.key for _, duplicate in twice)
        self.whole = self._keyed  # no request of the plan can be left out: one may say what its neighbour says
        self._others, self._nearly = (
            sum(1 << k for k, duplicate in twice if duplicate.payload == payload) for payload in ("other", "one_value")
        )
        self._garbles = [(k, event.garble) for k, event in enumerate(spec.scenario.when) if event.garble]
        self._networks = [(k, event.network) for k, event in enumerate(spec.scenario.when) if event.network]
        self.bad_ways: dict[int, Network] = {}  # first item of a request → what happens on its way, once
        self._released: dict[str, int] = {}
        self.notes: list[Note] = []
        path = spec.target.decisions
        asked = any(expectation.logged for expectation in spec.scenario.then)
        self._decisions = path if asked else None
        self.truths: dict[str, tuple[int, ...]] | None = {} if given.reviewers else None  # of requests, for reviewers

    def take(self, chunk: Chunk, coming: np.ndarray | None = None) -> list[Planned]:
        """Record a chunk as planned; its requests.

        Args:
            chunk: of the plan.
            coming: bool[n], of requests of one row: those that may be sent after what the service decided, and only
                they are returned. Second tries among them have no body yet. None: all.
        """
        self._digest.update(chunk)
        self._writer.planned({name: getattr(chunk, name) for name in PLAN_COLUMNS})
        items: Sequence[int] = range(self._items, self._items + len(chunk))
        sent = chunk
        if coming is None:
            bodies = self._bodies(chunk)
        else:
            self._withheld((self._items + np.flatnonzero(~coming)).tolist())
            items = (self._items + np.flatnonzero(coming)).tolist()
            sent = taken(chunk, np.flatnonzero(coming))
            first = sent.copy != AGAIN
            written = iter(self._bodies(taken(sent, np.flatnonzero(first))))
            bodies = [next(written) if its_own else b"" for its_own in first.tolist()]
        planned = requests(sent, bodies, items)
        if self._keyed:
            planned = keyed(planned, sent, self._others, self._nearly)
        if self._networks:
            for one in planned:
                bits = int(chunk.touched[one.item - self._items])
                found = [network for k, network in self._networks if bits >> k & 1]
                if found:
                    self.bad_ways[one.item] = found[-1]
        if self.truths is not None:
            self.truths.update({one.request_id: one.truth for one in planned if one.truth is not None})
        self._twice.planned(chunk, self._items)
        self._items += len(chunk)
        return planned

    def _bodies(self, chunk: Chunk) -> list[bytes]:
        bodies = self._codec.encode(chunk)
        return garbled(bodies, chunk, self._garbles) if self._garbles else bodies

    def concluded(self, sent: Sent) -> None:
        """Record a request's end, and queue the labels that its decisions do not censor.

        What came back is decoded later, many at a time: at the latest before it could matter.
        """
        ended = self._ended
        if not ended:
            self._feed.expect(sent.ended_ns)
        ended.append(sent)
        if len(ended) >= _TOGETHER:
            self._settle()

    def withheld(self, planned: Planned) -> None:
        """A request that nobody sends after what the service decided: as if it had never been planned."""
        self._handed["replies"] += 1
        self._writer.withheld((planned.item,))

    def _withheld(self, items: list[int]) -> None:
        self._handed["replies"] += len(items)
        self._writer.withheld(items)

    def due(self, tick: int) -> list[list[Due]]:
        """The labels to post at a tick of the feed, in batches."""
        self._settle()
        return self._feed.take(tick)

    def released(self, version: str, bit: int) -> None:
        """From now on, answers by `version` are touched by the event of that bit; 0: not any more."""
        self._settle()
        self._released[version] = bit

    def _settle(self) -> None:
        ended, self._ended = self._ended, []
        decode, add = self._codec.decode, self._feed.add
        bits, censored, since, until = self._released, self._censored, self._warm_since, self._warm_until
        rows: list[ReplyRow] = []
        append = rows.append
        for sent in ended:
            item, name, scheduled_ns, body, truth, due, *_ = sent.planned
            status, replied_ns, failure = sent.status, sent.replied_ns, sent.failure
            reply = decode(status, sent.reply, len(due)) if failure is None else Reply(failure)
            outcome, version, scores = reply.outcome, reply.version, reply.scores
            decisions, sources, reasons = reply.decisions, reply.sources, reply.reasons
            bit = bits.get(version, 0) if bits else 0
            refused = reply.outcome is Outcome.REJECT
            shown = leak(body, sent.reply, explains=refused) if status >= _FIRST_ERROR and failure is None else 0
            digest = crc32(body) | len(body) << 32
            for row, due_ns in enumerate(due):
                decision = decisions[row] if decisions else ""
                append(
                    (
                        item + row, sent.sent_ns, sent.seen_ns, replied_ns, sent.attempt, status, outcome,
                        scores[row] if scores else math.nan, decision, sources[row] if sources else _NO_SOURCE,
                        version, reasons[row] if reasons else "", bit, digest, shown,
                    )
                )  # fmt: skip
                if truth is not None and due_ns >= 0 and decision not in censored:
                    add(sent.ended_ns, due_ns, (item + row, name, row, truth[row]))
            if since <= scheduled_ns < until:
                self._warm.append((outcome, replied_ns - scheduled_ns))
                if replied_ns < self._first and outcome is Outcome.OK:
                    self._named.add(version)
        self._handed["replies"] += len(rows)
        self._writer.replied(rows)

    def labelled(self, batch: Iterable[Due], at_ns: int) -> None:
        """The service acknowledged these labels."""
        items = [_ITEM(due) for due in self._twice.delivered(batch, at_ns, self._feed)]
        self._handed["labels"] += len(items)
        self._writer.labelled(items, at_ns)

    def undelivered(self, batch: Iterable[Due], now_ns: int) -> None:
        """Nobody was there to take these labels: the feed keeps them for its next tick."""
        for due in batch:
            self._feed.add(now_ns, now_ns, due)

    def warmup(self, alerts: Iterable[AlertRecord]) -> Warmup:
        """What the second half of the warm-up showed."""
        self._settle()
        firing: dict[str, AlertRecord] = {a.fingerprint: a for a in alerts}
        return Warmup(
            len(self._warm),
            sum(outcome >= Outcome.ERROR for outcome, _ in self._warm),
            tuple(latency for outcome, latency in self._warm if outcome is Outcome.OK),
            tuple(sorted({a.name for a in firing.values() if a.firing})),
            tuple(sorted(self._named)),
        )

    async def read_log(self, now: Callable[[], int], get: Callable[[str], Awaitable[tuple[int, bytes]]]) -> None:
        """The service's decision log, if the scenario speaks of it and the target file says where it is."""
        if self._decisions is None:
            return
        lines, why = await fetch(self._decisions, get)
        self._writer.logged(lines)
        self.note(now(), "log", why=why)

    def note(self, at_ns: int, kind: str, **data: Any) -> None:
        """Anything else with a time."""
        self.notes.append(Note(at_ns, kind, data))

    def close(
        self, alerts: Iterable[AlertRecord], notes: Iterable[Note], service: Mapping[str, ServiceReceipt]
    ) -> History:
        """Write, realise the events, seal."""
        self._settle()
        spec = self._spec
        if self._driver != "virtual":
            service = {**service, **unsupported(spec.scenario, self._driver)}
        header = Header(
            spec.scenario.title, spec.path, dict(spec.cell), spec.role, self._driver, spec.scenario.seed,
            self._digest.hexdigest(), spec.target.model, spec.target_digest, self._end, spec.scenario.given.warmup,
            versions=dict(spec.versions),
        )  # fmt: skip
        heard = tuple(alerts)
        noted = tuple(sorted([*self.notes, *notes], key=lambda note: note.at_ns))
        self._writer.close(header, alerts=heard, events=(), notes=noted)
        closed = read(spec.folder)
        handed = {"plan": self._items, "replies": self._handed["replies"], "labels": self._handed["labels"]}
        if (kept := rows_kept(spec.folder)) != handed:
            told = ", ".join(f"{kept[name]} of {n} {name}" for name, n in handed.items() if kept[name] != n)
            lost = Note(self._end, "harness", {"fault": f"the history keeps {told}"})
            closed = replace(closed, notes=(*closed.notes, lost))
        # The last tick of the feed is within the run; what is due after it cannot come any more.
        last = self._end - self._end % spec.scenario.given.labels.every
        twice = {k: self._twice.receipt(k, last) for k, event in enumerate(spec.scenario.when) if event.label_twice}
        return seal(spec.folder, replace(closed, events=realise(spec.scenario, closed, service, self._end, twice)))

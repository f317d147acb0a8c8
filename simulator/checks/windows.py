"""When an expectation looks (S1): half-open spans, anchored at events as they really happened."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Final

import numpy as np

from simulator.checks import premises
from simulator.checks.premises import PremiseError
from simulator.checks.words import moment
from simulator.history.schema import History
from simulator.scenario.model import Expectation, Scenario
from simulator.scenario.quantities import SECOND
from simulator.scenario.verbs import Event

UNTOUCHED: Final = "untouched"
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Window:
    """Ascending, disjoint, non-empty half-open spans; `text` says in words how they came about.

    `complete` is False where the run ended before the window did, so that silence proves nothing.
    """

    spans: tuple[Span, ...]
    text: str
    complete: bool

    @property
    def start(self) -> int:
        """First instant."""
        return self.spans[0][0]

    @property
    def end(self) -> int:
        """First instant after it: the deadline of what has one."""
        return self.spans[-1][1]

    @property
    def hull(self) -> Span:
        """From its first instant to its last."""
        return self.start, self.end

    def contains(self, ns: np.ndarray) -> np.ndarray:
        """Elementwise: the instant is in one of the spans."""
        inside = np.zeros(len(ns), bool)
        for start, end in self.spans:
            inside |= (ns >= start) & (ns < end)
        return inside


def events_of(expectation: Expectation, scenario: Scenario) -> tuple[Event, ...]:
    """The events without which the expectation has nothing to say.

    Those that it names, also through the alert that it refers to; all of them if it speaks of the untouched,
    or of the run at large: nothing that did not happen can be green.
    """
    names = _named(expectation)
    for other in (expectation.resolved, expectation.at):
        if other is not None:
            names |= _named(scenario.expectation(other))
    if not names or UNTOUCHED in names or (expectation.harmed is not None and expectation.of is None):
        return scenario.when
    return tuple(event for event in scenario.when if event.event in names)


def _named(expectation: Expectation) -> set[str]:
    anchor = expectation.after.removesuffix(".end") if expectation.after else None
    return {name for name in (anchor, expectation.during, expectation.outside, expectation.of) if name is not None}


def resolve(expectation: Expectation, scenario: Scenario, history: History) -> Window:
    """The window of an expectation on the run as it happened.

    Raises:
        PremiseError: An event that it needs has no receipt or came too late, or nothing is left of the window.
    """
    events = events_of(expectation, scenario)
    premises.receipts(events, history)
    horizon = history.header.end_ns
    planned, text = _spans(expectation, scenario, history)
    spans = [(start, end) for start, end in planned if start < end]
    kept = tuple((start, end) for start, end in spans if start < horizon)
    if not kept:
        raise PremiseError(f"window: nothing is left of it ({text})", "shorten `settle`, or let the run last longer")
    window = Window(kept, text, complete=all(end <= horizon for _, end in spans))
    _punctual(events, history, sum(end - start for start, end in kept))
    return window


def following(window: Window, hold: int, horizon: int) -> Window:
    """The `hold` after the window's end.

    Raises:
        PremiseError: The run ends before it does.
    """
    if window.end + hold > horizon:
        raise PremiseError("window: the run ended before the hold did", "let the run last longer")
    return Window(((window.end, window.end + hold),), f"for {moment(hold)} {window.text}", complete=True)


def _spans(expectation: Expectation, scenario: Scenario, history: History) -> tuple[list[Span], str]:
    """What `after`, `during` and `outside` have in common, not cut at the end of the run, and in words."""
    horizon, settle = history.header.end_ns, expectation.settle
    settled = f", {moment(settle)} settled" if settle else ""
    parts: list[list[Span]] = []
    texts: list[str] = []
    if expectation.after is not None or expectation.within is not None:
        start = _anchor(expectation.after, history)
        within = expectation.within
        parts.append([(start, horizon if within is None else start + within)])
        limits = (f"within {moment(within)}" if within is not None else "", f"after {expectation.after or 'the start'}")
        texts.append(" ".join(filter(None, limits)))
    if expectation.during is not None:
        record = premises.record_of(history, expectation.during)
        parts.append([(record.start_ns + settle, record.end_ns)])
        texts.append(f"during {expectation.during}{settled}")
    if expectation.outside is not None:
        parts.append(_outside([expectation.outside], history, settle))
        texts.append(f"outside {expectation.outside}{settled}")
    if not parts and expectation.no_alert is not None and scenario.when:
        # S6: silence is expected outside events; without a window of its own, outside all of them.
        return _outside([event.event for event in scenario.when], history, settle), f"outside every event{settled}"
    if not parts:
        return [(0, horizon)], "the whole run"
    return reduce(_common, parts), ", ".join(texts)


def _anchor(after: str | None, history: History) -> int:
    if after is None:
        return 0
    name = after.removesuffix(".end")
    record = premises.record_of(history, name)
    return record.start_ns if after == name else record.end_ns


def _common(left: list[Span], right: list[Span]) -> list[Span]:
    both = ((max(a, c), min(b, d)) for a, b in left for c, d in right)
    return sorted(span for span in both if span[0] < span[1])


def _outside(names: list[str], history: History, settle: int) -> list[Span]:
    records = sorted((premises.record_of(history, name) for name in names), key=lambda r: r.start_ns)
    spans, free = [], 0
    for record in records:
        spans.append((free, record.start_ns))
        free = max(free, record.end_ns + settle)
    return [*spans, (free, max(free, history.header.end_ns))]


def _punctual(events: tuple[Event, ...], history: History, length: int) -> None:
    allowed = max(SECOND, length // 100)
    for event in events:
        record = premises.record_of(history, event.event)
        # A late or second delivery is late by declaration.
        declared = event.late.by if event.late else event.duplicate.after if event.duplicate else 0
        # Due with the first item that the plan touches: a ramp from nothing touches its first one later than `at`.
        due = max(event.at, record.scheduled_ns)
        if not 0 <= record.start_ns - due <= declared + allowed:
            raise PremiseError(
                f"receipt: `{event.event}` was to start at {moment(due)} and started at "
                f"{moment(record.start_ns)}, more than {moment(allowed)} off",
                "look at the driver's lag, and at what became of the first items that it touched",
            )

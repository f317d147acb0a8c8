"""When things are to happen, as far as the file alone says: the run's end, events, windows. Pure arithmetic.

What really happened is in the history; a window is judged there by the event's real start (semantics S1).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from simulator.scenario.model import Expectation, Scenario
from simulator.scenario.quantities import NS
from simulator.scenario.verbs import Event

Interval = tuple[int, int]  # [from, to) in nanoseconds from the start of the run


def end_ns(scenario: Scenario) -> int:
    """The last instant of traffic, exclusive: `traffic.for`, or what the replay takes."""
    traffic = scenario.given.traffic
    if traffic.replay is not None:
        start, end = map(datetime.fromisoformat, (traffic.replay.start, traffic.replay.end))
        return (end - start) // timedelta(microseconds=1) * NS["us"]
    assert traffic.length is not None  # noqa: S101 - the model admits either a replay or a length
    return traffic.length


def lasts(scenario: Scenario, event: Event) -> Interval:
    """From `at` for `for`, or to the end of the run."""
    return event.at, (end_ns(scenario) if event.length is None else event.at + event.length)


def windows(scenario: Scenario, expectation: Expectation) -> tuple[Interval, ...]:
    """The stretches of time that the expectation looks at, if all goes by schedule; not cut at the run's end.

    Empty if nothing is left of them, such as when `settle` is longer than the event.
    """
    end = end_ns(scenario)
    intervals: list[Interval] = [(0, end)]
    if expectation.after is not None:
        name = expectation.after.removesuffix(".end")
        start = lasts(scenario, scenario.event(name))[name != expectation.after]
        intervals = [(start, end if expectation.within is None else start + expectation.within)]
    if expectation.during is not None:
        start, stop = lasts(scenario, scenario.event(expectation.during))
        intervals = _both(intervals, (start + expectation.settle, stop))
    if expectation.outside is not None:
        start, stop = lasts(scenario, scenario.event(expectation.outside))
        intervals = [(0, start), (stop + expectation.settle, end)]
    if expectation.no_alert is not None and not {"after", "during", "outside"} & expectation.model_fields_set:
        intervals = _outside(scenario, expectation.settle)
    if expectation.of is not None and expectation.of != "untouched":
        start, stop = lasts(scenario, scenario.event(expectation.of))
        intervals = _both(intervals, (start + expectation.settle, stop))
    if expectation.at is not None:
        ((_, deadline),) = windows(scenario, scenario.expectation(expectation.at)) or ((0, end),)
        intervals = _both(intervals, (0, deadline))
    return tuple((start, stop) for start, stop in intervals if start < stop)


def _outside(scenario: Scenario, settle: int) -> list[Interval]:
    """Silence without a window of its own is expected outside of all events (S6)."""
    free, intervals = 0, []
    for start, stop in sorted(lasts(scenario, event) for event in scenario.when):
        intervals.append((free, start))
        free = max(free, stop + settle)
    return [*intervals, (free, end_ns(scenario))]


def _both(intervals: list[Interval], other: Interval) -> list[Interval]:
    return [(max(start, other[0]), min(stop, other[1])) for start, stop in intervals]

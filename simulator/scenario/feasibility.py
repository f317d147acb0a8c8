"""What can be known to be wrong before anything runs.

A scenario that passes may still end UNKNOWN for what happens in the run; one that is refused here could
never have said anything else. This file looks at time; `decidable` at numbers; `fit` at the population.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final

from simulator.scenario import decidable, fit
from simulator.scenario.disturbances import Load, Shaped
from simulator.scenario.document import Flaw, Where
from simulator.scenario.errors import Problem
from simulator.scenario.load import Cell
from simulator.scenario.model import Expectation, Scenario
from simulator.scenario.quantities import NS, SECOND, show_duration
from simulator.scenario.timeline import end_ns, lasts, windows
from simulator.scenario.verbs import ONLY_ON, Event

_LONGEST: Final = 3660 * NS["d"]  # of a run: well inside int64 nanoseconds, whatever is added to it
_MOST_ROWS: Final = 1_000_000_000
_CONVERGING: Final = frozenset(
    {"resolved", "recovers", "rollback", "promoted"}
)  # must hold for `hold` beyond the deadline


def check(
    cell: Cell,
    fields: Mapping[str, fit.Field] | None = None,
    capacity_per_second: float | None = None,
    misfit: str = "",
) -> tuple[Problem, ...]:
    """Everything about one cell that cannot work, located.

    Args:
        cell: As loaded.
        fields: The population's fields by name; None leaves them unchecked.
        capacity_per_second: Requests per second that the target sustains; None if it has not said.
        misfit: Why the population cannot produce the traffic.
    """
    flaws = list(_run(cell.scenario))
    if misfit:
        flaws.append(Flaw("wrong-traffic", misfit, ("given", "traffic"), at="key"))
    if not flaws:  # the windows of a run that cannot be would be nonsense as well
        flaws += _parts(cell.scenario, capacity_per_second)
        if fields is not None:
            flaws += fit.check(cell.scenario, fields)
    problems = dict.fromkeys(cell.problem(flaw) for flaw in flaws)
    return tuple(sorted(problems, key=lambda problem: (problem.line, problem.column)))


def _parts(scenario: Scenario, capacity: float | None) -> Iterator[Flaw]:
    for index, event in enumerate(scenario.when):
        yield from _event(scenario, event, ("when", index))
    for index, expectation in enumerate(scenario.then):
        yield from _window(scenario, expectation, ("then", index))
        if expectation.family in {"reviewed", "shown"} and scenario.given.reviewers is None:
            message = f"nobody looks at the queue, so nothing can be said of `{expectation.family}`"
            place = ("then", index, expectation.family)
            yield Flaw("missing-key", message, place, "write `given: {reviewers: {every: 1m}}`", "key")
    yield from decidable.check(scenario, capacity)
    if not any(expectation.severity == "gate" for expectation in scenario.then):
        what = "all expectations only warn" if scenario.then else "nothing is expected"
        message = f"{what}, so the verdict can only be UNKNOWN"
        yield Flaw("no-gate", message, ("then",), "add a gating expectation", "key")


def _run(scenario: Scenario) -> Iterator[Flaw]:
    given, place = scenario.given, ("given", "traffic")
    end = end_ns(scenario)
    length: Where = (*place, "replay", "to") if given.traffic.replay else (*place, "for")
    if end == 0:
        yield Flaw("empty-run", "the run is over before it starts", length)
    if end > _LONGEST:
        yield Flaw("too-long", "the run is longer than ten years", length)
    if given.traffic.rate is not None and not math.isfinite(given.traffic.rate):
        yield Flaw("bad-value", "is not a rate that can be sent", (*place, "rate"))
    elif given.traffic.rate is not None and given.traffic.rate * given.traffic.batch * (end / SECOND) > _MOST_ROWS:
        yield Flaw("too-large", f"more than {_MOST_ROWS:,} rows in one run cannot be kept", (*place, "rate"))
    if given.traffic.timeout == 0:
        yield Flaw("bad-value", "with no time to answer in, every request fails", (*place, "timeout"))
    if given.warmup >= end > 0:
        message = f"the warm-up is as long as the run ({show_duration(end)}) or longer"
        yield Flaw("past-the-end", message, ("given", "warmup"))
    if given.feedback is not None:
        yield from _feedback(scenario)
    if given.reviewers is not None and set(scenario.runs_on) != {"virtual"}:
        message = "only the virtual driver has people who review"
        yield Flaw("senseless-key", message, ("given", "reviewers"), "write `runs_on: [virtual]`", "key")
    delay = given.labels.delay
    if delay is not None and delay.p95 <= delay.median:
        message = "the 95th percentile of a delay is longer than its median"
        yield Flaw("bad-value", message, ("given", "labels", "delay", "p95"))


def _feedback(scenario: Scenario) -> Iterator[Flaw]:
    where: Where = ("given", "feedback")
    if scenario.given.traffic.batch > 1:
        hint = "drop `batch`, or the feedback"
        yield Flaw("senseless-key", "people react to a decision, and a batch has many", where, hint, "key")
    if set(scenario.runs_on) != {"virtual"}:
        hint = "write `runs_on: [virtual]`"
        yield Flaw("senseless-key", "only the virtual driver lets people react", where, hint, "key")


def _event(scenario: Scenario, event: Event, where: Where) -> Iterator[Flaw]:
    end, warmup = end_ns(scenario), scenario.given.warmup
    start, stop = lasts(scenario, event)
    if start >= end:
        message = f"`{event.event}` starts when the run is over ({show_duration(end)})"
        yield Flaw("past-the-end", message, (*where, "at"))
    elif stop > end:
        message = f"`{event.event}` outlasts the run by {show_duration(stop - end)}"
        hint = f"at most {show_duration(end - start)}, or drop `for`"
        yield Flaw("past-the-end", message, (*where, "for"), hint)
    if start < warmup:
        message = f"`{event.event}` starts during the warm-up, which takes {show_duration(warmup)}"
        yield Flaw("in-warmup", message, (*where, "at"))
    if event.length == 0:
        yield Flaw("no-effect", f"`{event.event}` takes no time", (*where, "for"))
    if isinstance(event.params, Shaped | Load):
        for key, part in (("over", "ramp"), ("every", "period")):
            if (getattr(event.params, key, None) or 0) > stop - start:
                message = f"the {part} is longer than `{event.event}` ({show_duration(stop - start)})"
                yield Flaw("past-the-end", message, (*where, event.verb, key))
    yield from _drivers(scenario, event, where)
    if event.prior is not None and scenario.given.traffic.replay is not None:
        message = "what is recorded has its outcomes, and no others can be drawn"
        yield Flaw("senseless-key", message, (*where, "prior"), "use a synthetic population", "key")


def _drivers(scenario: Scenario, event: Event, where: Where) -> Iterator[Flaw]:
    """Whether every driver that the scenario runs on can do it."""
    able = ONLY_ON.get(event.verb, scenario.runs_on)
    if not set(scenario.runs_on) <= set(able):
        hint = f"write `runs_on: [{', '.join(able)}]`"
        message = f"of the drivers only {' and '.join(able)} can do `{event.verb}`"
        yield Flaw("senseless-key", message, (*where, event.verb), hint, "key")
    if event.dependency is not None and event.dependency.fault == "stale" and set(scenario.runs_on) != {"virtual"}:
        message = "in real time a dependency stands behind a proxy, which cannot make its answers stale"
        yield Flaw("senseless-key", message, (*where, "dependency"), "write `runs_on: [virtual]`", "key")


def _window(scenario: Scenario, expectation: Expectation, where: Where) -> Iterator[Flaw]:
    if expectation.after is not None:
        # The deadline itself, even where an item selection would cut the window short.
        ((start, stop),) = windows(scenario, expectation.model_copy(update={"of": None})) or ((0, 0),)
        late = list(_late(scenario, expectation, where, start, stop)) if stop else []
        yield from late
        if late:
            return
    if not windows(scenario, expectation):
        key = next((key for key in ("within", "settle") if key in expectation.model_fields_set), "id")
        yield Flaw("empty-window", f"`{expectation.id}` has no time left to look at", (*where, key))


def _late(scenario: Scenario, expectation: Expectation, where: Where, start: int, stop: int) -> Iterator[Flaw]:
    end, name = end_ns(scenario), str(expectation.after).removesuffix(".end")
    if start >= end:
        message = f"`{expectation.id}` starts to look when the run is over ({show_duration(end)})"
        endless = name != expectation.after and scenario.event(name).length is None
        yield Flaw("past-the-end", message, (*where, "after"), "give the event a `for`" if endless else "")
        return
    hold = expectation.hold if expectation.family in _CONVERGING else 0
    if stop + hold > end:
        kept = f" and its hold of {show_duration(hold)}" if hold else ""
        message = f"the window{kept} ends {show_duration(stop + hold - end)} after the run"
        room = end - start - hold
        shorter = f"`within` can be at most {show_duration(room)}, or " if room > 0 else ""
        hint = f"{shorter}the run must last {show_duration(stop + hold)}"
        yield Flaw("past-the-end", message, (*where, "within"), hint)

"""The world of a scenario, as English sentences: what is given, before anything happens."""

from __future__ import annotations

from typing import Any

from simulator.scenario.claims import either, held
from simulator.scenario.model import Scenario
from simulator.scenario.quantities import show_duration, show_share
from simulator.scenario.timeline import end_ns


def world(scenario: Scenario) -> str:
    """The world before anything happens, in a few sentences."""
    given, traffic = scenario.given, scenario.given.traffic
    if traffic.replay is not None:
        what = f"{given.population} as recorded from {traffic.replay.start} until {traffic.replay.end}"
    else:
        rows = "" if traffic.batch == 1 else f" of {traffic.batch} rows each"
        rhythm = " on average, in a daily rhythm," if traffic.rhythm == "daily" else ""
        rate = f"{traffic.rate or 0:g} requests{rows} per second{rhythm}"
        what = f"{given.population}: {rate} for {show_duration(end_ns(scenario))}"
    said = [f"{what}, served by {given.serving}."]
    labels = given.labels
    when = "Labels arrive in their own time"
    if labels.delay is not None:
        when = (
            f"Half of the labels arrive within {show_duration(labels.delay.median)}, "
            f"95% within {show_duration(labels.delay.p95)}"
        )
    said.append(f"{when}; {show_share(labels.missing)} never do." if labels.missing else f"{when}.")
    if given.feedback is not None:
        said.append(_feedback(given.feedback))
    if given.reviewers is not None:
        said.append(f"Every {show_duration(given.reviewers.every)} people say what is true of whatever waits for them.")
    if given.warmup:
        said.append(f"The first {show_duration(given.warmup)} are warm-up.")
    for steady in given.steady_state:
        name = next(iter(steady.model_fields_set))
        claim = held(name, getattr(steady, name))
        said.append(f"Nothing is done to the service unless, in the second half of the warm-up, {claim}.")
    return " ".join(said)


def _feedback(p: Any) -> str:
    does = [f"{show_share(p.leave)} stay away for {show_duration(p.away)}"] if p.leave else []
    does += [f"{show_share(p.again)} try again after {show_duration(p.after)}"] if p.again else []
    return f"Of those who are told {either(list(p.on))}, {' and '.join(does)}."

"""What an event needs to be told beyond its shape, and what it has no use for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from simulator.scenario.disturbances import Network, Shaped
from simulator.scenario.document import Flaw, Where, senseless
from simulator.scenario.verbs import Event


def check(event: Event, where: Where) -> Iterator[Flaw]:
    """Keys of one event that are missing, or that its verb cannot use beside the others."""
    verb, params = event.verb, event.params
    if isinstance(params, Shaped):
        yield from _shape(params, (*where, verb))
    if verb == "restart" and event.length is None:
        yield Flaw(
            "missing-key", "`restart` needs `for`: how long it is gone", (*where, verb), "such as `for: 5s`", "key"
        )
    elif verb == "network":
        yield from _bad_way(params, (*where, verb))
    elif verb in {"dependency", "model"}:
        yield from _fault(params, (*where, verb))
    elif verb == "operator":
        yield from _operator(params, (*where, verb))
    elif verb == "release":
        if params.by in {"swap", "shadow"} and "share" in params.model_fields_set:
            message = "a swap is always whole" if params.by == "swap" else "a shadow is asked about everything"
            yield senseless((*where, verb, "share"), message, "drop it, or write `by: canary`")
        if params.defect is not None:
            yield from _fault(params.defect, (*where, verb, "defect"))


def _shape(shaped: Shaped, where: Where) -> Iterator[Flaw]:
    ramp, waves = shaped.shape in {"gradual", "incremental"}, shaped.shape in {"recurring", "seasonal"}
    if shaped.over is not None and not ramp:
        yield senseless((*where, "over"), f"a {shaped.shape} drift has no ramp", "add `shape: gradual`")
    if shaped.every is not None and not waves:
        yield senseless((*where, "every"), f"a {shaped.shape} drift has no period", "add `shape: recurring`")
    if shaped.every is None and waves:
        message = f"a {shaped.shape} drift needs `every`"
        yield Flaw("missing-key", message, (*where, "shape"), "such as `every: 1d`")
    if shaped.shape == "incremental" and getattr(shaped, "shift", None) is None:
        message = "only a shift can come step by step"
        yield Flaw("bad-value", message, (*where, "shape"), "write `shape: gradual`")


def _operator(params: Any, where: Where) -> Iterator[Flaw]:
    if params.does == "freeze" and params.version is None:
        yield Flaw("missing-key", "`freeze` needs a `version`", (*where, "does"), "such as `version: v2`", "value")
    if params.does == "promote" and params.version is not None:
        yield senseless((*where, "version"), "what is promoted is the canary on trial", "drop it")


def _bad_way(params: Network, where: Where) -> Iterator[Flaw]:
    timed = params.fault in {"latency", "upload"}
    if timed and not params.by:
        yield Flaw("missing-key", f"`{params.fault}` needs `by`", (*where, "fault"), "such as `by: 300ms`")
    if not timed and params.by is not None:
        yield senseless((*where, "by"), f"`{params.fault}` has no length", "drop it")


def _fault(params: Any, where: Where) -> Iterator[Flaw]:
    timed = params.fault in {"slow", "stale"}
    if timed and params.by is None:
        yield Flaw(
            "missing-key",
            f"`{where[-1]}` needs `by` when it is {params.fault}",
            (*where, "fault"),
            "such as `by: 300ms`",
        )
    if not timed and params.by is not None:
        message = f"`{params.fault}` has no length of its own"
        yield senseless((*where, "by"), message, "the event's `for` says how long")

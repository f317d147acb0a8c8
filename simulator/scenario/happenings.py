"""What happens in a scenario, as English sentences: one line an event."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from simulator.scenario.disturbances import Bounds
from simulator.scenario.quantities import show_duration, show_share, show_size
from simulator.scenario.verbs import Event


def happening(event: Event) -> str:
    """One event in one line: ``from 30m, for 30m: amount is multiplied by 100``."""
    length = "to the end" if event.length is None else f"for {show_duration(event.length)}"
    p = event.params
    whom = ""
    if (share := getattr(p, "share", 1.0)) != 1.0 and event.verb != "release":
        whom += f", in {show_share(share)} of {'calls' if event.layer == 'service' else 'rows'}"
    if where := getattr(p, "where", None):
        whom += ", where " + " and ".join(f"{name} is {_condition(value)}" for name, value in where.items())
    return f"from {show_duration(event.at)}, {length}: {_HAPPENS[event.verb](p)}{whom}"


def _condition(value: Any) -> str:
    if not isinstance(value, Bounds):
        return _plain(value)
    bounds = (("above", value.above), ("below", value.below))
    return " and ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)


def _pace(p: Any) -> str:
    over = f" over {show_duration(p.over)}" if p.over else ""
    every = show_duration(p.every or 0)
    return {
        "sudden": "",
        "gradual": f" gradually{over}",
        "incremental": f" step by step{over}",
        "recurring": f" and back, every {every},",
        "seasonal": f" in waves of {every}",
    }[str(p.shape)]


def _of_outcome(p: Any) -> str:
    return "labels" if p.outcome == "any" else f"labels of {p.outcome}s"


def _garble(p: Any) -> str:
    what = {"truncated": "cut off", "not_json": "no JSON", "oversized": f"{p.size:,} bytes long"}
    return f"bodies are {what[p.how]}"


def _drift(p: Any) -> str:
    pace = _pace(p)
    if p.category is not None:
        return f"{p.field} moves{pace} to {p.category}"
    return f"{p.field} moves{pace} by {p.shift:+g} standard deviations"


def _load(p: Any) -> str:
    level = {
        "per_second": f"{p.to.value:g} per second",
        "base": f"{p.to.value:g} times the base rate",
        "capacity": f"{p.to.value:g} times what the target sustains",
    }[p.to.unit]
    bot = "" if p.distinct is None else f", by a bot with {p.distinct} different rows"
    ramp = "" if p.over is None else f", over {show_duration(p.over)}"
    return f"traffic rises to {level}{ramp}{bot}"


def _dependency(p: Any) -> str:
    by = "" if p.by is None else f" by {show_duration(p.by)}"
    return f"{p.name} is {p.fault}{by}"


def _network(p: Any) -> str:
    does = {
        "latency": "arrive {by} later",
        "loss": "never arrive",
        "half_open": "arrive, and their answers never do",
        "reset": "are cut off before the answer",
        "partition": "find no way to the service",
        "upload": "arrive in pieces, over {by}",
    }[p.fault]
    return "requests " + does.format(by=show_duration(p.by or 0))


def _model(p: Any) -> str:
    does = {
        "hang": "hangs",
        "raise": "raises",
        "slow": "is slow",
        "nan": "answers NaN",
        "wrong": "answers wrongly",
        "off": "is off by a thousandth",
    }
    return f"the model {does[p.fault]}" + ("" if p.by is None else f" by {show_duration(p.by)}")


def _release(p: Any) -> str:
    how = {
        "canary": f"as a canary of {show_share(p.share)}",
        "ab": f"to {show_share(p.share)} in an A/B test",
        "swap": "to everyone at once",
        "shadow": "into the shadow",
    }[p.by]
    package = "" if p.bundle == "sound" else f", its bundle {p.bundle}"
    return f"{p.version} is released {how}{package}" + ("" if p.defect is None else f", in which {_model(p.defect)}")


def _operator(p: Any) -> str:
    what = {
        "promote": "promotes what is on trial",
        "rollback": f"goes back to {p.version}" if p.version else "takes back what is on trial",
        "freeze": f"freezes {p.version}",
    }[p.does]
    return f"an operator {what}"


def _retrain(p: Any) -> str:
    when = "at once" if p.on == "request" else "as soon as it has evidence for it"
    return f"the service is asked to retrain itself {when}, as {p.version}"


def _duplicate(p: Any) -> str:
    key = ", under the same idempotency key" + _PAYLOADS[p.payload]
    return f"requests are delivered again after {show_duration(p.after)}{key if p.key else ''}"


_PAYLOADS: Final[Mapping[str, str]] = {
    "same": "", "one_value": " with another value in one place", "other": " with another payload",
}  # fmt: skip

_HAPPENS: Final[Mapping[str, Callable[[Any], str]]] = {
    "nulls": lambda p: (
        f"{p.field} goes missing"
        + ("" if p.spelling == "missing" else f", sent as {p.spelling}")
        + ("" if p.outcome == "any" else f", of {p.outcome}s")
    ),
    "rename": lambda p: f"{p.field} arrives as {p.to}",
    "drop": lambda p: f"{p.field} is no longer sent",
    "add": lambda p: f"a new field {p.field} is sent, {_plain(p.value)}",
    "nest": lambda p: f"{p.field} moves into the object {p.under}",
    "retype": lambda p: f"{p.field} arrives as a {p.to}",
    "scale": lambda p: f"{p.field} is multiplied by {p.by:g}",
    "respell": lambda p: f"{p.field} {_plain(p.category)} is spelled {_plain(p.to)}",
    "outlier": lambda p: f"{p.field} is {p.value:g}, {'once' if p.count == 1 else f'{p.count} times'}",
    "reorder": lambda _: "the columns arrive in another order",
    "garble": _garble,
    "drift": _drift,
    "concept": lambda p: f"{show_share(p.flip)} of the truths turn{_pace(p)} into their opposite",
    "prior": lambda p: f"positives become {show_share(p.to)} of the rows",
    "label_delay": lambda p: f"{_of_outcome(p)} come {show_duration(p.by)} later",
    "label_loss": lambda p: f"{_of_outcome(p)} never come",
    "label_noise": lambda p: f"{_of_outcome(p)} say the opposite",
    "label_twice": lambda p: f"{_of_outcome(p)} come a second time, {show_duration(p.after)} later",
    "late": lambda p: f"requests are delivered {show_duration(p.by)} late",
    "duplicate": _duplicate,
    "network": _network,
    "load": _load,
    "dependency": _dependency,
    "model": _model,
    "release": _release,
    "operator": _operator,
    "retrain": _retrain,
    "restart": lambda p: f"the service is {'stopped' if p.how == 'stop' else 'killed'}, and starts again",
    "pause": lambda _: "the service stands still",
    "cpu": lambda p: f"the service gets {p.cores:g} cores and no more",
    "memory": lambda p: f"each process of the service may take {show_size(p.headroom)} more, and no more",
    "clock_step": lambda p: f"the service's clock is set {show_duration(p.by)} {p.way}",
}


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"'{value}'" if isinstance(value, str) else f"{value:g}"

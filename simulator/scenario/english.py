"""The parts of a scenario as English sentences; reports use them too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from simulator.scenario.disturbances import Bounds
from simulator.scenario.families import AlertIs
from simulator.scenario.model import Expectation, Scenario
from simulator.scenario.quantities import show_duration, show_share, show_size
from simulator.scenario.timeline import end_ns
from simulator.scenario.verbs import Event

# ---------------------------------------------------------------- given


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
    if given.warmup:
        said.append(f"The first {show_duration(given.warmup)} are warm-up.")
    for steady in given.steady_state:
        name = next(iter(steady.model_fields_set))
        claim = _CLAIM[name](getattr(steady, name))
        said.append(f"Nothing is done to the service unless, in the second half of the warm-up, {claim}.")
    return " ".join(said)


def _feedback(p: Any) -> str:
    does = [f"{show_share(p.leave)} stay away for {show_duration(p.away)}"] if p.leave else []
    does += [f"{show_share(p.again)} try again after {show_duration(p.after)}"] if p.again else []
    return f"Of those who are told {_either(list(p.on))}, {' and '.join(does)}."


# ---------------------------------------------------------------- when


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
    key = ", under the same idempotency key" + (" with another payload" if p.payload == "other" else "")
    return f"requests are delivered again after {show_duration(p.after)}{key if p.key else ''}"


_HAPPENS: Final[Mapping[str, Callable[[Any], str]]] = {
    "nulls": lambda p: f"{p.field} goes missing" + ("" if p.spelling == "missing" else f", sent as {p.spelling}"),
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


# ---------------------------------------------------------------- then


def sentence(expectation: Expectation) -> str:
    """One expectation in one line: ``within 8m of the start of unit_change, an alert on amount fires``."""
    family, window = expectation.family, _window(expectation)
    if family == "alert":
        once = ", once" if expectation.once else ""
        stands = f", until {expectation.after} has ended" if expectation.stands else ""
        return f"{window}{_alert(expectation.params)} fires{once}{stands}"
    if family == "resolved":
        hold = show_duration(expectation.hold)
        return f"{window}the alert of {expectation.resolved} is resolved, and stays so for {hold}"
    if family == "labels_seen":
        share = show_share(expectation.params.max)
        return f"when {expectation.at} is met, at most {share} of the labels of {expectation.of} have arrived"
    if family == "promoted":
        wanted, hold = expectation.params, show_duration(expectation.hold)
        share = show_share(wanted.min)
        return f"{window}{wanted.to} is promoted, and gives at least {share} of answers in the {hold} after"
    if family in {"recovers", "rollback"}:
        return f"{window}{_CLAIM[family](expectation.params)}, for at least {show_duration(expectation.hold)}"
    claim = _CLAIM[family](expectation.params)
    if expectation.of is None:
        return f"{window}{claim}"
    if expectation.of == "untouched":
        return f"{window}among requests that no event touches, {claim}"
    settle = "" if not expectation.settle else f", from {show_duration(expectation.settle)} on"
    return f"{window}among requests that {expectation.of} touches{settle}, {claim}"


def _window(expectation: Expectation) -> str:
    settle = show_duration(expectation.settle)
    if expectation.after is not None:
        name = expectation.after.removesuffix(".end")
        edge = "end" if name != expectation.after else "start"
        when = "after" if expectation.within is None else f"within {show_duration(expectation.within)} of"
        return f"{when} the {edge} of {name}, "
    if expectation.during is not None:
        alone = expectation.settle and expectation.of is None
        return f"during {expectation.during}{f', from {settle} on' if alone else ''}, "
    if expectation.outside is not None:
        return f"outside {expectation.outside}{f' and the {settle} after it' if expectation.settle else ''}, "
    return ""


def _alert(selector: AlertIs | str) -> str:
    if isinstance(selector, str):
        return "an alert"
    severity = f"a {selector.severity}" if selector.severity else "an alert"
    name = f" named {selector.name}" if selector.name else ""
    over = f" over {selector.route}" if selector.route else ""
    return f"{severity}{name}" + (f" on {selector.field}" if selector.field else "") + over


def _handled(p: Any) -> str:
    words = {
        "reject": "rejected",
        "default": "given a declared default",
        "fallback": "answered by the fallback",
        "repair": "repaired",
    }
    return f"at least {show_share(p.min)} are {_either([words[by] for by in dict.fromkeys(p.by)])}"


def _recovers(p: Any) -> str:
    return "every answer is the model's again" if p.to == "model" else "nothing fails or is shed any more"


def _latency(p: Any) -> str:
    quantile, limit = p.quantile
    return f"{show_share(quantile)} of answers take at most {show_duration(limit)}"


def _bound(p: Any) -> str:
    return f"at least {show_share(p.min)}" if p.max is None else f"at most {show_share(p.max)}"


def _other_run(serving: str | None, target: str | None) -> str:
    there = f" at {target}" if target else ""
    return f"a run that {serving} serves from the start{there}" if serving else "the clean twin"


def _exposure(p: Any) -> str:
    limit = f"at most {show_share(p.max)}" if p.max is not None else f"at least {show_share(p.min)}"
    return f"{p.version} serves {limit} of {'customers' if p.by == 'customer' else 'answers'}"


def _retrained(p: Any) -> str:
    if p.goes == "nowhere":
        return f"the retrained {p.version} is refused, and answers nobody"
    return (
        f"the retrained {p.version} goes live: {show_duration(p.shadow)} or more in the shadow, "
        f"{show_duration(p.canary)} or more as a canary of at most {show_share(p.share)}, then promoted"
    )


def _group_errors(p: Any) -> str:
    kind = p.of.replace("_", " ") + "s"
    return f"about no group are there over {show_share(p.gap)} more {kind} than about the others"


_CLAIM: Final[Mapping[str, Callable[[Any], str]]] = {
    "no_alert": lambda p: ("no alert" if isinstance(p, str) else "not " + _alert(p)) + " fires",
    "handled": _handled,
    "harmed": lambda p: f"at most {show_share(p.max)} are harmed",
    "error_rate": lambda p: f"at most {show_share(p.max)} of requests fail",
    "latency": _latency,
    "fallback": lambda p: f"at least {show_share(p.min)} of answers come from the fallback",
    "shed": lambda p: f"at most {show_share(p.max)} of requests are shed",
    "answered": lambda p: f"at least {show_share(p.min)} of requests are answered",
    "recovers": _recovers,
    "rollback": lambda p: f"{p.to} serves every reply again",
    "exposure": _exposure,
    "parity": lambda p: f"scores equal those of {_other_run(p.serving, p.target)}, in at least {p.min_pairs} pairs",
    "clean_reject": lambda p: (
        f"at least {show_share(p.min)} of refusals and errors show neither values nor internals, and refusals say why"
    ),
    "idempotent": lambda p: f"a key is answered once and for all, in at least {p.min_pairs} pairs",
    "logged": lambda p: (
        f"each answer has its record in the decision log, once, unaltered and in order, in at least {p.min_pairs} pairs"
    ),
    "amplification": lambda p: f"calls of {p.to} are at most {p.times:g} times those of the clean twin",
    "readiness": lambda p: f"the service says that it is {p.to.replace('_', ' ')}",
    "group_errors": _group_errors,
    "better": lambda p: f"scores of {p.version} are nearer to the truth than those of {p.than}, by {p.by:g} or more",
    "cost": lambda p: f"a thousand predictions take at most {show_duration(p.cpu)} of CPU time",
    "retrain": _retrained,
    "refuses": lambda p: f"the release of {p.version} is refused, and it answers nobody",
    "shadow": lambda p: (
        f"{p.version} answers nobody, and replies come as soon and as they would without it, "
        f"in at least {p.min_pairs} pairs"
    ),
    "lossless": lambda _: "whatever is in flight or sent is answered, by one known version",
    "review": lambda p: f"{_bound(p)} of answers go to people",
    "fairness": lambda p: f"in no segment are more than {show_share(p.max)} of rows worse off than the model's answer",
    "quality": lambda p: f"the service's own {p.of.replace('_', ' ')} is within {p.within:g} of the truth",
}


def _either(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else "".join(words)


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"'{value}'" if isinstance(value, str) else f"{value:g}"

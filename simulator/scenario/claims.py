"""What is expected of a service, as English sentences: one line an expectation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from simulator.scenario.families import AlertIs
from simulator.scenario.model import Expectation
from simulator.scenario.quantities import show_duration, show_share


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


def held(family: str, params: Any) -> str:
    """What must hold, wherever it is looked at."""
    return _CLAIM[family](params)


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
    return f"at least {show_share(p.min)} are {either([words[by] for by in dict.fromkeys(p.by)])}"


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
    "shown": lambda p: f"{_bound(p)} of answers are shown to people",
    "reviewed": lambda p: (
        f"whatever is answered `{p.decision}` is shown to people, and what they say of a case stands in the end, "
        f"in at least {p.min_pairs} cases"
    ),
    "metered": lambda p: (
        "when all is over, the metrics count what was answered and name the version that answers, "
        f"in at most {p.series} series"
    ),
    "fairness": lambda p: f"in no segment are more than {show_share(p.max)} of rows worse off than the model's answer",
    "quality": lambda p: f"the service's own {p.of.replace('_', ' ')} is within {p.within:g} of the truth",
}


def either(words: list[str]) -> str:
    """``a, b or c``."""
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else "".join(words)

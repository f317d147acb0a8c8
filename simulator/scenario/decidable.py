"""Whether the numbers can ever decide: enough items, limits that can be crossed, faults that change something."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from simulator.scenario.disturbances import Load
from simulator.scenario.document import Flaw, Where
from simulator.scenario.families import Better, Latency
from simulator.scenario.model import Expectation, Scenario
from simulator.scenario.quantities import SECOND, show_duration, show_share
from simulator.scenario.timeline import Interval, end_ns, lasts, windows
from simulator.scenario.verbs import Event

ALPHA: Final = 0.01  # one-sided, as in semantics S5

_SMALLEST: Final = 1e-9  # a share below this needs more items than anyone sends
_BUSIEST: Final = 2.0  # no hour of a daily rhythm is busier than twice the mean
_BY_ROW: Final = frozenset(
    {
        "handled",
        "harmed",
        "fallback",
        "parity",
        "idempotent",
        "logged",
        "recovers",
        "rollback",
        "shadow",
        "review",
        "reviewed",
        "shown",
        "fairness",
        "group_errors",
        "better",
    }
)  # others count requests
_CENSUS: Final = frozenset({"labels_seen"})  # every item is known, so nothing is inferred
_LASTING: Final = 30  # answers within `hold`, without which nothing is seen to last
_IMPOTENT: Final[Mapping[str, tuple[str, float]]] = {  # verb → (key, the value that changes nothing)
    "scale": ("by", 1.0),
    "drift": ("shift", 0.0),
    "concept": ("flip", 0.0),
    "label_delay": ("by", 0),
    "late": ("by", 0),
}


def check(scenario: Scenario, capacity: float | None) -> Iterator[Flaw]:
    """Events without an effect, limits without a meaning, windows with too few items."""
    for index, event in enumerate(scenario.when):
        where: Where = ("when", index, event.verb)
        yield from _potent(event, where)
        if isinstance(event.params, Load):
            yield from _load(scenario, event.params, (*where, "to"), capacity)
        yield from _prompt(scenario, event, where, capacity)
        yield from _served_already(scenario, index, where)
    yield from _steady(scenario)
    for index, expectation in enumerate(scenario.then):
        yield from _limit(scenario, expectation, ("then", index), capacity)


# ---------------------------------------------------------------- events


def _potent(event: Event, where: Where) -> Iterator[Flaw]:
    """A fault that changes nothing gives no receipt: the verdict could only be UNKNOWN (S7)."""
    params = event.params
    if getattr(params, "share", 1.0) == 0.0:
        yield Flaw("no-effect", f"`{event.event}` touches nothing", (*where, "share"))
    key, still = _IMPOTENT.get(event.verb, ("", None))
    if (
        (key and getattr(params, key) == still)
        or (event.respell is not None and event.respell.category == event.respell.to)
        or (event.rename is not None and event.rename.field == event.rename.to)
    ):
        yield Flaw("no-effect", f"`{event.event}` changes nothing", (*where, key or "to"))


def _served_already(scenario: Scenario, index: int, where: Where) -> Iterator[Flaw]:
    """A release of what serves is no release."""
    event, serving = scenario.when[index], scenario.given.serving
    release = event.release
    if release is None or release.version != serving or release.defect or release.bundle != "sound":
        return
    earlier = (one for one in scenario.when if one.at < event.at and one.changes_version)
    if not any(earlier) and not scenario.to_be_refused(event):
        yield Flaw("no-effect", f"`{serving}` serves already", (*where, "version"), "release another version")


def _load(scenario: Scenario, load: Load, where: Where, capacity: float | None) -> Iterator[Flaw]:
    level, rate = load.to, scenario.given.traffic.rate
    if not math.isfinite(level.value) or level.value <= 0:
        yield Flaw("bad-value", "is not a load that can be sent", where)
    elif level.unit == "capacity" and capacity is None:
        hint = "let the target declare it, or write 3x (of the base rate) or a rate such as 500/s"
        yield Flaw("no-capacity", "the target has not said what its capacity is", where, hint)
    elif rate is not None and _added_rate(scenario, load, capacity) is None:
        message = f"the base rate is {rate:g}/s, so nothing is added"
        yield Flaw("no-effect", message, where, "load adds requests; ask for more")


def _added_rate(scenario: Scenario, load: Load, capacity: float | None) -> float | None:
    """Requests per second beyond the base rate; None if there are none, or one of the two is not known."""
    rate = scenario.given.traffic.rate
    unit = {"per_second": 1.0, "base": rate, "capacity": capacity}[load.to.unit]
    if unit is None or rate is None:
        return None
    added = load.to.value * unit - rate
    return added if added > 0 and math.isfinite(added) else None


def _prompt(scenario: Scenario, event: Event, where: Where, capacity: float | None) -> Iterator[Flaw]:
    """An event starts with the first item that it touches; a start too long after schedule is UNKNOWN (S1)."""
    if event.layer == "service" or scenario.given.traffic.rate is None:
        return
    per_second = _rows_per_second(scenario) * getattr(event.params, "share", 1.0)
    if isinstance(event.params, Load):
        per_second = (_added_rate(scenario, event.params, capacity) or 0.0) * scenario.given.traffic.batch
    if per_second <= 0:
        return  # told elsewhere
    lengths = [
        sum(stop - start for start, stop in windows(scenario, expectation))
        for expectation in scenario.then
        if event.event in _named(expectation)
    ]
    # What is delivered late, or again, starts late by declaration.
    declared = event.late.by if event.late else event.duplicate.after if event.duplicate else 0
    allowed = declared + max(SECOND, min(lengths, default=end_ns(scenario)) // 100)
    if per_second * allowed / SECOND < 1.0:
        gap = show_duration(round(1 / per_second) * SECOND)
        message = f"`{event.event}` touches something about every {gap} only, but must start within "
        place = (*where, "share") if "share" in event.params.model_fields_set else ("given", "traffic", "rate")
        hint = "raise the rate or the share, or lengthen the window"
        yield Flaw("slow-start", message + show_duration(allowed), place, hint)


def _named(expectation: Expectation) -> set[str | None]:
    anchor = expectation.after.removesuffix(".end") if expectation.after else None
    return {anchor, expectation.during, expectation.outside, expectation.of}


# ---------------------------------------------------------------- limits


def _steady(scenario: Scenario) -> Iterator[Flaw]:
    given = scenario.given
    if given.steady_state and given.warmup == 0:
        message = "a steady state is judged in the warm-up, and there is none"
        yield Flaw("undecidable", message, ("given", "steady_state"), "such as `warmup: 20m`", "key")
        return
    for index, steady in enumerate(given.steady_state):
        name = next(iter(steady.model_fields_set))
        limit = bad_share(getattr(steady, name))
        if limit is None:
            continue
        place = _place(("given", "steady_state", index, name), getattr(steady, name))
        n = None
        if given.traffic.rate is not None:
            n = _rows_per_second(scenario) / given.traffic.batch * given.warmup / 2 / SECOND
        yield from _crossable(limit, place) or _enough(n, limit, place, "the second half of the warm-up")


def _limit(scenario: Scenario, expectation: Expectation, where: Where, capacity: float | None) -> Iterator[Flaw]:
    params, family = expectation.params, expectation.family
    limit = bad_share(params)
    n = expected_items(scenario, expectation, capacity)
    window = f"the window of `{expectation.id}`"
    if limit is not None:
        place = _place((*where, family), params)
        flaws = _crossable(limit, place) or _enough(n, limit, place, window)
        yield from (flaw for flaw in flaws if flaw.code == "uncrossable" or family not in _CENSUS)
    if family in {"recovers", "rollback"} and scenario.given.traffic.rate is not None:
        held = _rows_per_second(scenario) * expectation.hold / SECOND
        if held < _LASTING:
            message = (
                f"the hold of {show_duration(expectation.hold)} sees about {int(held)} answers; it takes {_LASTING}"
            )
            yield Flaw("undecidable", message, (*where, "hold"), "hold for longer, or send more")
    if expectation.quality is not None and expectation.quality.within >= 1.0:
        message = "both are shares of 1, so they cannot be further apart and this can never fail"
        yield Flaw("uncrossable", message, (*where, family, "within"))
    if isinstance(params, Latency) and params.quantile[1] == 0:
        yield Flaw("undecidable", "nothing is answered in no time", _place((*where, family), params))
    paired = {"parity", "idempotent", "shadow", "logged", "reviewed"}
    if family in paired and n is not None and n < params.min_pairs:
        message = f"{window} holds about {int(n)} items, fewer than the pairs asked for"
        yield Flaw("undecidable", message, (*where, family, "min_pairs"), "look longer, or send more")
    if expectation.handled is not None and not expectation.handled.by:
        yield Flaw("undecidable", "with no way to be handled, nothing can be", (*where, family, "by"))
    groups = expectation.group_errors
    if groups is not None and groups.gap >= 1.0:
        yield from _crossable(groups.gap, (*where, family, "gap"))
    if groups is not None and n is not None and n < 2 * groups.min_rows:
        message = f"{window} holds about {int(n)} items; two groups need {2 * groups.min_rows}"
        yield Flaw("undecidable", message, (*where, family, "min_rows"), "look longer, or send more")
    yield from _sides(expectation.better, n, window, (*where, family))
    yield from _exposure(scenario, expectation, (*where, family))


def _sides(wanted: Better | None, n: float | None, window: str, where: Where) -> Iterator[Flaw]:
    if wanted is None:
        return
    if wanted.version == wanted.than:
        message = f"{wanted.version} is not better than itself, so this can never be proven"
        yield Flaw("undecidable", message, (*where, "than"), "name the version beside it")
    if n is not None and n < 2 * wanted.min_customers:
        message = f"{window} holds about {int(n)} items; two arms need {2 * wanted.min_customers} customers"
        yield Flaw("undecidable", message, (*where, "min_customers"), "look longer, or send more")


def _exposure(scenario: Scenario, expectation: Expectation, where: Where) -> Iterator[Flaw]:
    if expectation.exposure is None:
        return
    if not any(event.changes_version for event in scenario.when):
        message = f"nothing is released, so {scenario.given.serving} gives every answer and this can never fail"
        yield Flaw("uncrossable", message, (*where, "version"), "add an event `release`")
    if expectation.during is None:
        return
    release = scenario.event(expectation.during).release
    if release is None or release.version != expectation.exposure.version:
        return
    share = {"swap": 1.0, "shadow": 0.0}.get(release.by, release.share)
    most, least = expectation.exposure.max, expectation.exposure.min
    if (most is not None and most <= share) or (least is not None and least >= share):
        than = "more" if most is not None else "less"
        message = (
            f"{release.version} is to take {show_share(share)}, so no sample shows that it takes no {than} than this"
        )
        yield Flaw("undecidable", message, (*where, "max" if most is not None else "min"), "leave it some room")


def bad_share(params: Any) -> float | None:
    """A limit as the share of *bad* items: of what `max` counts, of what `min` misses, of latencies beyond."""
    if isinstance(params, Latency):
        return 1.0 - params.quantile[0]
    most, least = getattr(params, "max", None), getattr(params, "min", None)
    if most is not None:
        return float(most)
    return None if least is None else 1.0 - float(least)


def _place(where: Where, params: Any) -> Where:
    if isinstance(params, Latency):
        return (*where, next(iter(params.model_fields_set)))
    return (*where, "max" if getattr(params, "max", None) is not None else "min")


def _crossable(limit: float, place: Where) -> list[Flaw]:
    least, most, near = ("100%", "0%", "99.9%") if place[-1] == "min" else ("0%", "100%", "0.1%")
    if limit >= 1.0:
        return [Flaw("uncrossable", f"a limit of {most} cannot be crossed, so this can never fail", place)]
    if limit < _SMALLEST:
        message = f"no sample can show exactly {least}, so this can never pass"
        return [Flaw("undecidable", message, place, f"such as {near}")]
    return []


def _enough(n: float | None, limit: float, place: Where, window: str) -> list[Flaw]:
    if not n or n >= (least := needed(limit)):  # nothing at all is told where it comes from
        return []
    message = f"{window} holds about {int(n)} items; to decide this takes {least}"
    return [Flaw("undecidable", message, place, "look longer, send more, or allow more")]


def needed(limit: float) -> int:
    """Items, none of them bad, from which a share of at most `limit` follows at 99 % confidence.

    The zero-failure case of the one-sided Clopper-Pearson bound: (1 - limit)^n ≤ 1 %
    (Clopper and Pearson, Biometrika 26, 1934).
    """
    return math.ceil(math.log(ALPHA) / math.log1p(-limit))


def expected_items(scenario: Scenario, expectation: Expectation, capacity: float | None = None) -> float | None:
    """How many rows or requests the expectation can hope to count; None if the traffic is recorded or the load unknown.

    Generous where the file does not say (`where` may match everything), so that only the hopeless is refused.
    """
    traffic = scenario.given.traffic
    if traffic.rate is None:
        return None
    by_row = expectation.family in _BY_ROW
    end = end_ns(scenario)
    spans = [(start, min(stop, end)) for start, stop in windows(scenario, expectation)]
    if expectation.promoted is not None:  # counted is what follows the deadline
        spans = [(stop, min(stop + expectation.hold, end)) for _, stop in spans]
    touching = None if expectation.of in {None, "untouched"} else scenario.event(str(expectation.of))
    requests = _requests(scenario, spans, touching, capacity)
    if requests is None or touching is None or touching.load is not None:
        return requests if requests is None else requests * (traffic.batch if by_row else 1)
    if touching.outlier is not None:
        return float(touching.outlier.count)
    share = float(getattr(touching.params, "share", 1.0)) * (2 if touching.duplicate else 1)
    # A request is touched if one of its rows is.
    return requests * (traffic.batch * share if by_row else min(1.0, traffic.batch * share))


def _requests(
    scenario: Scenario, spans: list[Interval], touching: Event | None, capacity: float | None
) -> float | None:
    """Requests in these spans: those that a load adds if it is the one touching, else all."""
    total = 0.0
    if touching is None or touching.load is None:
        total = _rows_per_second(scenario) / scenario.given.traffic.batch * sum(b - a for a, b in spans) / SECOND
    for event in scenario.when:
        if event.load is not None and (touching is None or touching is event):
            added = _added_rate(scenario, event.load, capacity)
            if added is None:
                return None
            begin, over = lasts(scenario, event)
            total += added * sum(max(0, min(b, over) - max(a, begin)) for a, b in spans) / SECOND
    return total


def _rows_per_second(scenario: Scenario) -> float:
    traffic = scenario.given.traffic
    busiest = _BUSIEST if traffic.rhythm == "daily" else 1.0
    return (traffic.rate or 0.0) * traffic.batch * busiest

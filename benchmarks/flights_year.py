"""Flights from April to December through the shipped monitors: ``python -m benchmarks.flights_year``.

The model knows January to March. Every departure is scored and counted in its order, every label comes when its
flight has landed, and the monitors tick as they do in service, composed by the service itself; only HTTP is left out.
One JSON line a week: what the matured cohorts said of it beside the truth, and what was said meanwhile of flights
still too young, by the labels that were in: weighted, and as they came (naive). Then one line of the whole, with
every kind of alert, and one for each share of truths reversed from some day on, which has to page: being silent about
storms must not cost the power to see that the world has changed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any, Final

import click
import numpy as np

from benchmarks import shipped
from reference_service.bundle import Bundle
from reference_service.composition import compose
from reference_service.monitor.cohorts import Quality
from reference_service.policy import HOUR
from reference_service.service import Service
from reference_service.settings import Settings
from reference_service.training import features
from simulator.world.keyed import Draw
from simulator.world.populations.flights import POPULATION
from simulator.world.populations.flights_record import midnight_ns

START: Final = "2013-04-01"  # a Monday
WEEKS: Final = 40  # of which the last has two days
WITHIN: Final = 0.01  # of the truth, every week
_REVERSED: Final = (1.0, 0.5, 0.35)  # shares of truths; the least is what the payments' scenario turns as well
_LOOK_NS: Final = 3 * HOUR  # between two looks at the young cohorts

Episode = tuple[str, str, str, int]  # severity, name, field, start in ns
Alerts = Counter[tuple[str, str, str]]  # (severity, name, field) → episodes


@dataclass(frozen=True, slots=True)
class Week:
    """Rates of late flights, and Brier losses, of seven days: the truth, and what was known of it."""

    start: str  # ISO date of its first day
    n: int  # flights whose truth came in the end
    rate: float
    brier: float
    matured_n: int
    matured_rate: float
    matured_brier: float
    young_rate: float  # the truth of the flights that were young at the looks of the week; nan where no look tells
    weighted_rate: float  # what was said of them then
    naive_rate: float

    @property
    def miss(self) -> float:
        """How far what matured lies from the truth, in rate or in loss."""
        return max(abs(self.matured_rate - self.rate), abs(self.matured_brier - self.brier))

    @property
    def naive_miss(self) -> float:
        """How far the early labels lie from the truth of the flights that they are about."""
        return abs(self.naive_rate - self.young_rate)


@dataclass(frozen=True, slots=True)
class Departures:
    """Departures in their order, as the service sees them."""

    seen_ns: np.ndarray  # int64[n]
    values: np.ndarray  # float64[n, f] in contract order
    scores: np.ndarray  # float64[n]
    labels: np.ndarray  # int64[n], -1 never
    arrives_ns: np.ndarray  # int64[n], of the label


class _At:
    """A clock that stands still: whoever replays says what time it is."""

    def __init__(self, at_ns: int) -> None:
        self._at_ns = at_ns

    def now_ns(self) -> int:
        return self._at_ns

    async def sleep(self, ns: int) -> None:
        raise NotImplementedError(f"nobody waits {ns} ns in a replay")


def replay(
    start: str = START, weeks: int = WEEKS, *, reversed_share: float = 0.0
) -> tuple[list[Week], Alerts, list[float]]:
    """Week after week from an ISO date on (the last ends with the record), by a service that starts then.

    Args:
        start: ISO date.
        weeks: how many.
        reversed_share: of flights that are late where they were not, and the other way round. A monitor that is
            silent all year must not be silent then.

    Returns:
        The weeks, how many episodes there were of every alert, and the days since `start` at which a page began.
    """
    days = [min(str(np.datetime64(start) + 7 * k), "2014-01-01") for k in range(weeks + 1)]
    edges = [midnight_ns(day) for day in days]
    service = compose(Settings(bundles=str(shipped.bundles("flights"))), _At(edges[0]), {})
    flights = departures(service.watch.bundle, days[0], days[-1])
    if reversed_share:
        drawn = np.random.default_rng(1).random(len(flights.labels)) < reversed_share
        turned = drawn & (flights.labels >= 0)
        flights = replace(flights, labels=np.where(turned, 1 - flights.labels, flights.labels))
    read, looks, episodes = _run(service, flights, edges)
    spans = zip(days[:-1], pairwise(edges), pairwise(read), strict=True)
    found = [_week(day, flights, span, known, looks) for day, span, known in spans]
    pages = sorted((starts - edges[0]) / (24 * HOUR) for severity, *_, starts in episodes if severity == "page")
    return found, Counter(episode[:3] for episode in episodes), pages


def departures(bundle: Bundle, start: str, end: str) -> Departures:
    """What the record has from one ISO date to another, exclusive, scored by this bundle."""
    part, draw = POPULATION.slice(start, end), Draw(0, "replay")
    index = np.arange(part.first, part.last, dtype=np.int64)
    rows = POPULATION.rows(draw, index, index)
    truth = POPULATION.truth(draw, index, rows)
    values = features.encode(bundle.contract, rows.sent)
    scores = np.array([bundle.probability(margin) for margin in bundle.scores(values)])
    return Departures(rows.event_ns, values, scores, truth.label.astype(np.int64), rows.event_ns + truth.label_after_ns)


def _run(
    service: Service, flights: Departures, edges: Sequence[int]
) -> tuple[list[Quality], list[Quality], set[Episode]]:
    """What was known when all before each edge had matured, what was known at each look, and all episodes."""
    watch, cohorts, policy = service.watch, service.cohorts, service.policy
    landed = np.flatnonzero(flights.labels >= 0)
    landed = landed[np.argsort(flights.arrives_ns[landed], kind="stable")]
    row = label = 0
    now_ns = edges[0]
    read, looks = [cohorts.quality(now_ns)], []
    episodes: set[Episode] = set()
    while len(read) < len(edges):
        now_ns += policy.tick_ns
        rows = slice(row, row := int(np.searchsorted(flights.seen_ns, now_ns)))
        for values in flights.values[rows].tolist():
            watch.inputs.received.put(values)
        watch.inputs.scores.extend(flights.scores[rows].tolist())
        while label < len(landed) and flights.arrives_ns[landed[label]] < now_ns:
            k = landed[label]
            score = float(flights.scores[k])
            cohorts.add(int(flights.seen_ns[k]), score, int(flights.labels[k]), int(flights.arrives_ns[k]),
                        refused=score >= policy.block_from)  # fmt: skip
            label += 1
        watch.tick(now_ns, (), {})
        episodes |= {(each.severity, each.name, each.field, each.starts_ns) for each in watch.book.episodes.values()}
        if now_ns <= edges[-1] and (now_ns - edges[0]) % _LOOK_NS == 0:
            looks.append(cohorts.quality(now_ns))
        if cohorts.matured_before_ns(now_ns) >= edges[len(read)]:
            read.append(cohorts.quality(now_ns))
    return read, looks, episodes


def _week(
    day: str, flights: Departures, span: tuple[int, int], known: tuple[Quality, Quality], looks: Sequence[Quality]
) -> Week:
    """One week of a replay. What is known of it is what came to the sums of matured cohorts meanwhile."""
    has_truth = flights.labels >= 0
    losses = (flights.scores - flights.labels) ** 2
    mine = has_truth & (flights.seen_ns >= span[0]) & (flights.seen_ns < span[1])
    n = known[1].n - known[0].n
    rate, brier = (
        float((getattr(known[1], of) * known[1].n - (getattr(known[0], of) or 0.0) * known[0].n) / n)
        for of in ("positive_rate", "brier")
    )
    told = []  # of each look: flights that were young, their truth, and what was said of it
    for look in looks:
        young = has_truth & (flights.seen_ns >= look.matured_before_ns) & (flights.seen_ns < look.as_of_ns)
        if span[0] < look.as_of_ns <= span[1] and young.any() and look.weighted.positive_rate is not None:
            truth = flights.labels[young].mean()
            told.append((young.sum(), truth, look.weighted.positive_rate, look.naive.positive_rate))
    sizes, *rates = np.array(told, dtype=np.float64).T if told else np.full((4, 1), np.nan)
    young_rate, weighted_rate, naive_rate = (float((sizes * each).sum() / sizes.sum()) for each in rates)
    return Week(
        day, int(mine.sum()), float(flights.labels[mine].mean()), float(losses[mine].mean()), n, rate, brier,
        young_rate, weighted_rate, naive_rate,
    )  # fmt: skip


def summary(weeks: Sequence[Week], alerts: Alerts) -> dict[str, Any]:
    """The figures of the whole, by which the promise stands or falls."""
    told = [week for week in weeks if not np.isnan(week.naive_rate)]
    return {
        "name": "flights_year",
        "weeks": len(weeks),
        "n": sum(week.n for week in weeks),
        "worst_week": round(max(week.miss for week in weeks), 4),
        "bound": WITHIN,
        "weeks_missed": sum(week.miss > WITHIN for week in weeks),
        "weeks_naive_missed": sum(week.naive_miss > WITHIN for week in told),
        "naive_bias": round(float(np.mean([week.naive_rate - week.young_rate for week in told])), 4),
        "weighted_bias": round(float(np.mean([week.weighted_rate - week.young_rate for week in told])), 4),
        "pages": sum(n for (severity, *_), n in alerts.items() if severity == "page"),
        "alerts": {"/".join(filter(None, key)): n for key, n in sorted(alerts.items())},
    }


@click.command()
@click.option("--weeks", default=WEEKS, help="Weeks from April on.")
def main(weeks: int) -> None:
    """Replay; fails if a week misses its bound, if anybody is paged, or if nobody is where truths are reversed."""
    found, alerts, _ = replay(weeks=weeks)
    for week in found:
        line = {key: round(value, 4) if isinstance(value, float) else value for key, value in asdict(week).items()}
        print(json.dumps({"name": "flights_week", **line, "miss": round(week.miss, 4)}), flush=True)
    whole = summary(found, alerts)
    print(json.dumps(whole), flush=True)
    silent = False
    for share in _REVERSED:
        *_, pages = replay(weeks=4, reversed_share=share)
        line = {"name": "flights_reversed", "share": share, "days_to_page": round(pages[0], 2) if pages else None}
        print(json.dumps(line), flush=True)
        silent |= not pages
    raise SystemExit(bool(whole["weeks_missed"] or whole["pages"] or silent))


if __name__ == "__main__":
    main()

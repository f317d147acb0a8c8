"""Two versions side by side: customer by customer."""

from __future__ import annotations

from collections import defaultdict
from math import isfinite, sqrt

from simulator.controls.naive.book import Row
from simulator.controls.naive.court import Court, Opinion, must
from simulator.controls.naive.shares import tagged
from simulator.controls.naive.tails import student
from simulator.controls.naive.windows import complete, ground, rows_of
from simulator.history.schema import Outcome
from simulator.scenario.model import Expectation, Scenario
from simulator.verdict import Status


def better(expectation: Expectation, scenario: Scenario, court: Court) -> Opinion:
    """The mean error of each arm, and how sure one can be of the difference."""
    window = ground(expectation, scenario, court)
    complete(window)
    rows = rows_of(expectation, court.main, window, expectation.of)
    tagged(court.main, rows)
    wanted = expectation.params
    known = [row for row in rows if row.truth >= 0 and row.copy == 0]
    lacking = [row for row in known if row.outcome != Outcome.OK or not isfinite(row.score)]
    must(len(lacking) <= 0.01 * len(known), "rows without a score")  # of the law
    ours, theirs = (scored(rows, version) for version in (wanted.version, wanted.than))
    customers = {row.entity for row in ours} | {row.entity for row in theirs}
    crossed = {row.entity for row in ours} & {row.entity for row in theirs}
    must(len(crossed) <= 0.01 * len(customers), "customers met both")  # of the law
    arms = [
        [(row.entity, (row.score - row.truth) ** 2) for row in arm if row.entity not in crossed]
        for arm in (ours, theirs)
    ]
    status = gained(arms[0], arms[1], wanted.by, wanted.min_customers)
    positions = [row.position for row in ours if row.entity not in crossed]
    return Opinion(status, tuple(positions), tuple(0 for _ in positions), tuple(False for _ in positions))


def scored(rows: list[Row], version: str) -> list[Row]:
    """What this version answered, where the truth is known."""
    return [
        row
        for row in rows
        if row.outcome == Outcome.OK
        and row.version == version
        and row.truth >= 0
        and row.copy == 0
        and isfinite(row.score)
    ]


def gained(ours: list[tuple[int, float]], theirs: list[tuple[int, float]], by: float, fewest: int) -> Status:
    """What (customer, squared error) of either arm say."""
    sizes = [len({who for who, _ in arm}) for arm in (ours, theirs)]
    if min(sizes) < fewest:
        return Status.UNKNOWN
    (own, own_variance), (other, other_variance) = mean(ours), mean(theirs)
    reach = student(min(sizes) - 1) * sqrt(own_variance + other_variance)
    if other - own - reach >= by - 1e-12:
        return Status.PASS
    return Status.FAIL if other - own + reach < by - 1e-12 else Status.UNKNOWN


def mean(arm: list[tuple[int, float]]) -> tuple[float, float]:
    """The mean over rows, and its variance when customers are drawn, not rows."""
    middle = sum(loss for _, loss in arm) / len(arm)
    residuals: defaultdict[int, float] = defaultdict(float)
    for who, loss in arm:
        residuals[who] += loss - middle
    customers = len(residuals)
    spread = sum(residual**2 for residual in residuals.values())
    return middle, customers / (customers - 1) * spread / len(arm) ** 2

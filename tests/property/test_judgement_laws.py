"""Laws of every verdict: a lattice, honest intervals, no reward for failing, no meaning in the order of records."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from histories import edited
from hypothesis import given, settings
from hypothesis import strategies as st
from specimens import SPECIMENS

from simulator.checks import evaluate
from simulator.checks.evaluators import BLOCK_NS, Ballot, Limit, converge, share
from simulator.checks.statistics import clopper_pearson
from simulator.history.schema import Outcome
from simulator.scenario.model import FAMILIES
from simulator.verdict import Status, worst

RANK = {Status.PASS: 0, Status.UNKNOWN: 1, Status.FAIL: 2}
STATUS = st.sampled_from(Status)
modest = settings(max_examples=100, deadline=None, derandomize=True)


@modest
@given(st.lists(STATUS), st.lists(STATUS))
def test_the_worst_is_a_join(a, b):
    assert worst([*a, *b]) is worst([*b, *a])
    if a and b:
        assert worst([worst(a), worst(b)]) is worst([*a, *b])
        assert RANK[worst([*a, *b])] >= RANK[worst(a)]
    if a:
        assert worst([*a, *a]) is worst(a)
        assert worst(a) in a
    assert worst([]) is Status.UNKNOWN


@modest
@given(st.integers(0, 3000), st.integers(0, 3000))
def test_bounds_are_ordered_and_grow_with_the_failures(k, n):
    k = min(k, n)
    lower, upper = clopper_pearson(k, n)
    assert 0.0 <= lower <= (k / n if n else 0) <= upper <= 1.0
    if k < n:
        more = clopper_pearson(k + 1, n)
        assert more[0] > lower
        assert more[1] > upper


@modest
@given(st.integers(1, 2000), st.floats(0, 1), st.data())
def test_one_more_failure_never_improves_a_share(n, limit, data):
    k = data.draw(st.integers(0, n - 1))

    def status(failures):
        return share(Ballot(np.arange(n), np.arange(n) < failures, "rows", str), Limit(limit)).status

    assert RANK[status(k + 1)] >= RANK[status(k)]


@modest
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 10)), max_size=8), st.data())
def test_convergence_by_trying_every_second(spells, data):
    bad = sorted({second for start, length in spells for second in range(start, start + length)})
    start, length = data.draw(st.integers(0, 40)), data.draw(st.integers(1, 40))
    buckets, until = data.draw(st.integers(1, 3)), data.draw(st.integers(40, 120))
    unit = BLOCK_NS // 10
    moments = np.array(bad, np.int64) * unit
    found = converge(
        moments, moments + unit, start=start * unit, deadline=(start + length) * unit, hold=buckets * BLOCK_NS,
        observed_until=until * unit,
    )  # fmt: skip
    clean = [t for t in range(start, start + length) if not set(bad) & set(range(t, t + 10 * buckets))]
    assert (found.status is Status.FAIL) == (not clean)
    if clean:
        assert found.at_ns == clean[0] * unit
        assert found.status is (Status.PASS if clean[0] + 10 * buckets <= until else Status.UNKNOWN)


def shuffled(columns, seed):
    order = np.array(Random(seed).sample(range(len(columns["index"])), len(columns["index"])))  # noqa: S311
    return {name: column[order] for name, column in columns.items()}


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=5, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32))
def test_the_order_of_independent_records_means_nothing(family, seed):
    specimen = SPECIMENS[family]
    dice = Random(seed)  # noqa: S311 - not for secrets
    for found in (specimen.passing, specimen.failing, specimen.unknown):
        main = replace(
            found.main,
            items=shuffled(found.main.items, seed),
            alerts=tuple(dice.sample(found.main.alerts, len(found.main.alerts))),
            notes=tuple(dice.sample(found.main.notes, len(found.main.notes))),
        )
        before = evaluate(specimen.scenario.then[0], specimen.scenario, found)
        after = evaluate(specimen.scenario.then[0], specimen.scenario, replace(found, main=main))
        assert replace(before, witnesses=()) == replace(after, witnesses=())


WORSE = {
    "handled": int(Outcome.ERROR), "harmed": int(Outcome.ERROR), "error_rate": int(Outcome.TIMEOUT),
    "latency": int(Outcome.MISSING), "shed": int(Outcome.SHED), "answered": int(Outcome.RESET),
    "fallback": int(Outcome.ERROR), "recovers": int(Outcome.ERROR), "parity": int(Outcome.SHED),
}  # fmt: skip


@pytest.mark.parametrize("family", WORSE)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(rows=st.sets(st.integers(0, 1799), max_size=200))
def test_one_more_failed_row_never_improves_a_status(family, rows):
    specimen = SPECIMENS[family]
    it = specimen.scenario.then[0]
    for found in (specimen.passing, specimen.failing, specimen.unknown):
        outcome = found.main.items["outcome"].copy()
        outcome[list(rows)] = WORSE[family]
        before = evaluate(it, specimen.scenario, found)
        after = evaluate(it, specimen.scenario, edited(found, outcome=outcome))
        assert RANK[after.status] >= RANK[before.status]

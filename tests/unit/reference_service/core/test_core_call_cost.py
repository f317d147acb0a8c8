"""The line a·n + b is found again, and what is concluded from it is what costs callers the least waiting."""

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from reference_service import bundle as bundles
from reference_service.core.call_cost import LEAST_NS, CallCost

ROOT = Path(__file__).parents[4]
COSTS = st.just(0.0) | st.floats(1e-3, 1e8)  # nanoseconds: squares of much smaller ones are nothing
SIZES = st.lists(st.integers(1, 256), min_size=2, max_size=200).filter(lambda sizes: len(set(sizes)) > 1)


def known(a, b):
    cost = CallCost()
    for rows in (1, 64, 2, 256):
        cost.add(rows, a * rows + b)
    return cost


@settings(max_examples=60, deadline=None)
@given(COSTS, COSTS, SIZES)
def test_a_line_is_found_again(a, b, sizes):
    cost = CallCost()
    for rows in (sizes * 3)[:200]:
        cost.add(rows, a * rows + b)
    assume(cost._sure)
    scale = a * 256 + b
    assert cost.per_row == pytest.approx(a, abs=1e-5 * scale)
    assert cost.per_call == pytest.approx(b, abs=1e-3 * scale)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_noise_is_averaged_and_the_past_forgotten(seed):
    rng, cost = np.random.default_rng(seed), CallCost()
    for rows in rng.integers(1, 65, 400):
        cost.add(int(rows), 9e5 * rows + 7e6)
    for rows in rng.integers(1, 65, 640):
        cost.add(int(rows), (1e5 * rows + 2e6) * rng.uniform(0.9, 1.1))
    assert cost.per_row == pytest.approx(1e5, rel=0.25)
    assert cost.per_call == pytest.approx(2e6, abs=1e6)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 300), st.integers(0, 10**9)), min_size=1, max_size=100))
def test_neither_part_is_ever_negative(calls):
    cost = CallCost()
    for rows, ns in calls:
        cost.add(rows, ns)
        assert cost.per_row >= 0
        assert cost.per_call >= 0


def test_of_one_size_the_slope_is_not_guessed():
    cost = known(1e5, 4e6)
    for _ in range(2000):
        cost.add(1, 7e5 + 4e6)  # slower by 600 us, and nobody can tell in which part
    assert cost.per_row == pytest.approx(1e5, rel=0.05)
    assert cost.per_call == pytest.approx(4.6e6, rel=0.01)


@pytest.mark.parametrize("size", [1, 2, 16, 200])
def test_calls_of_one_size_are_followed_by_others_until_the_slope_is_seen(size):
    cost = CallCost()
    for _ in range(100):
        cost.add(size, 1e6 * size + 1e4)
    tried = 0
    while cost.per_row == 0:
        rows = cost.together(size if size > 1 else 2)  # the queue is never longer than that
        assert rows != size
        cost.add(rows, 1e6 * rows + 1e4)
        tried += 1
    assert tried < 100
    assert cost.per_row == pytest.approx(1e6, rel=1e-3)


def waiting_of(a, b, waiting, size):
    """Sum of waiting when so many rows are sent `size` at a time, the last call being whatever is left."""
    total, at = 0.0, 0.0
    for first in range(0, waiting, size):
        rows = min(size, waiting - first)
        at += b + a * rows
        total += rows * at
    return total


@settings(max_examples=80, deadline=None)
@given(st.floats(1, 1e6), st.floats(0, 1e7), st.integers(1, 120))
def test_rows_that_wait_go_in_calls_of_nearly_the_best_size(a, b, waiting):
    chosen = known(a, b).together(waiting)
    best = min(waiting_of(a, b, waiting, size) for size in range(1, waiting + 1))
    assert 1 <= chosen <= waiting
    assert waiting_of(a, b, waiting, chosen) <= 1.1 * best  # sizes that do not divide are not in the formula


def test_the_extremes_of_going_together():
    assert known(1e6, 0).together(100) == 1
    assert known(0, 1e6).together(100) == 100
    assert known(1e4, 1e6).together(100) == 100


@settings(max_examples=300, deadline=None)
@given(st.floats(0, 1e6), st.floats(LEAST_NS, 1e8), st.integers(1, 60), st.floats(1e3, 1e8))
def test_rows_wait_exactly_while_one_more_is_worth_it(a, b, waiting, gap):
    cost = known(a, b)
    a, b = cost.per_row, cost.per_call
    going = waiting * (b + a * waiting) + (2 * b + a * (waiting + 1) - gap)
    staying = waiting * (gap + b + a * (waiting + 1)) + (b + a * (waiting + 1))
    wait_ns = cost.wait_ns(waiting, gap)
    assert wait_ns < b
    if wait_ns:
        assert staying < going * (1 + 1e-9)
        enough = waiting + round(wait_ns / gap)  # and once those have come, one more is not
        assert enough * (gap + a) >= (b - gap) * (1 - 1e-9)
    elif gap >= LEAST_NS:  # shorter waits are not possible
        assert staying >= going * (1 - 1e-9)


def test_nobody_waits_where_nobody_comes_or_calls_are_cheap():
    assert known(1e5, 20e6).wait_ns(1, 1e9) == 0
    assert known(1e5, 20e6).wait_ns(1, 2e6) > 0
    assert known(1e5, 5e5).wait_ns(1, 1e3) == 0
    assert known(0, 0).wait_ns(1, 0.0) == 0


def test_in_front_of_our_own_forest_it_could_never_pay():
    """A thousand times too cheap, so that no noise of the machine hides it. Hence there is none, and no cost of one."""
    bundle = bundles.load(ROOT / "scenarios/bundles/payments/v1")
    golden, cost = np.array(bundle.golden.values, dtype=np.float64), CallCost()
    for _ in range(40):
        for rows in (1, 256):
            taken = []
            for _ in range(5):
                began = time.perf_counter_ns()
                bundle.scores(golden[:rows])
                taken.append(time.perf_counter_ns() - began)
            cost.add(rows, min(taken))
    assert not cost.pays()
    assert all(cost.wait_ns(1, gap) == 0 for gap in (1e2, 1e3, 1e4, 1e5, 1e6, 1e7))

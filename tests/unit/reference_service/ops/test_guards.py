from __future__ import annotations

import asyncio
import math

import pytest
from conftest import SECOND, HandClock
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_service.guards.breaker import Breaker
from reference_service.guards.deadline import remaining_ns, within
from reference_service.guards.dependency import Dependency, Unavailable
from reference_service.guards.limiter import Limiter
from reference_service.guards.retry_budget import RetryBudget

MS = SECOND // 1000


def breaker(name="store", **changed):
    options = {"window_ns": 10 * SECOND, "calls": 20, "share": 0.5, "open_ns": 5 * SECOND, "jitter": 0.2, "probes": 5}
    return Breaker(name, **(options | changed))


def fail(b, now_ns, times):
    for _ in range(times):
        assert b.allow(now_ns)
        b.record(now_ns, ok=False)


def succeed(b, now_ns, times):
    for _ in range(times):
        assert b.allow(now_ns)
        b.record(now_ns, ok=True)


# The breaker


def test_nineteen_failures_do_not_open_and_the_twentieth_does():
    b = breaker()
    fail(b, SECOND, 19)
    assert b.state == "closed"
    fail(b, SECOND, 1)
    assert b.state == "open"


def test_just_under_half_failed_stays_closed():
    b = breaker()
    succeed(b, SECOND, 20)
    fail(b, SECOND, 19)
    assert b.state == "closed"
    fail(b, SECOND, 1)
    assert b.state == "open"


def test_successes_added_in_passing_count_as_recorded_ones():
    b = breaker()
    succeed(b, SECOND, 1)
    assert b.smooth_until_ns > SECOND
    b.successes += 19
    fail(b, SECOND, 19)
    assert b.state == "closed"
    fail(b, SECOND, 1)
    assert b.state == "open"


def test_what_is_older_than_the_window_is_forgotten():
    b = breaker()
    fail(b, SECOND, 19)
    fail(b, 11 * SECOND, 1)
    assert b.state == "closed"
    fail(b, 11 * SECOND, 19)
    assert b.state == "open"


def test_open_lasts_five_seconds_give_or_take_its_own_jitter_and_repeats_exactly():
    def opens_for(name):
        b = breaker(name)
        fail(b, 0, 20)
        return next(ms for ms in range(7000) if b.allow(ms * MS))

    assert 4000 <= opens_for("store") <= 6000
    assert opens_for("store") == opens_for("store")
    assert opens_for("store") != opens_for("model:v1")


def test_five_good_probes_close_and_no_sixth_is_let_through():
    b = breaker()
    fail(b, 0, 20)
    assert [b.allow(7 * SECOND) for _ in range(6)] == [True] * 5 + [False]
    for _ in range(4):
        b.record(7 * SECOND, ok=True)
    assert b.state == "half_open"
    b.record(7 * SECOND, ok=True)
    assert b.state == "closed"


def test_one_bad_probe_opens_again():
    b = breaker()
    fail(b, 0, 20)
    assert b.allow(7 * SECOND)
    b.record(7 * SECOND, ok=False)
    assert b.state == "open"
    assert not b.allow(7 * SECOND + 3 * SECOND)


def test_probes_that_never_come_back_do_not_keep_the_door_half_open():
    b = breaker()
    fail(b, 0, 20)
    assert [b.allow(7 * SECOND) for _ in range(5)] == [True] * 5
    assert not b.allow(8 * SECOND)
    assert b.allow(20 * SECOND)


def test_a_straggler_does_not_close_an_open_breaker():
    b = breaker()
    fail(b, 0, 20)
    b.record(SECOND, ok=True)
    assert b.state == "open"
    assert b.smooth_until_ns == 0


# ---------------------------------------------------------------- retry budget


@given(calls=st.integers(0, 3000))
@settings(max_examples=30, deadline=None)
def test_retries_never_exceed_a_tenth_of_the_calls_and_the_burst(calls):
    budget = RetryBudget(0.1, 10)
    taken = sum(budget.take(number) for number in range(1, calls + 1))
    assert taken <= 10 + calls * 0.1 + 1e-6
    if calls >= 100:
        assert taken >= calls * 0.1


def test_a_quiet_night_saves_up_no_storm():
    budget = RetryBudget(0.1, 10)
    assert sum(budget.take(1_000_000) for _ in range(100)) == 10


# ---------------------------------------------------------------- limiter


def test_requests_in_flight_are_bounded():
    limiter = Limiter(2, SECOND, 16)
    assert [limiter.admit() for _ in range(3)] == [1, 2, 0]
    limiter.turn(1)
    limiter.leave()
    assert limiter.admit()


def test_the_queue_is_bounded_by_the_wait_and_not_by_the_count():
    limiter = Limiter(10_000, 125 * MS, 4)
    now, waiting = SECOND, 0
    for _ in range(1000):  # a server that takes 5 ms, met by more than it can take
        now += 5 * MS
        while waiting < 300 and limiter.admit():
            waiting += 1
        limiter.turn(now)
        limiter.leave()
        waiting -= 1
    assert 20 <= waiting <= 26  # 25 x 5 ms = 125 ms
    assert limiter.expected_wait_ns() <= 130 * MS


def test_an_idle_service_learns_nothing_about_its_pace():
    limiter = Limiter(10_000, 125 * MS, 1)
    for second in range(1, 50):  # one request a second, each answered at once
        assert limiter.admit()
        limiter.turn(second * SECOND)
        limiter.leave()
    assert all(limiter.admit() for _ in range(100))


# ---------------------------------------------------------------- deadline


def test_time_in_the_queue_is_spent():
    assert remaining_ns(arrived_ns=100, deadline_ns=50, now_ns=140) == 10
    assert remaining_ns(arrived_ns=100, deadline_ns=50, now_ns=160) == -10


def test_no_time_left_is_a_timeout_and_leaves_nothing_unawaited():
    async def body():
        async def never():
            await asyncio.sleep(3600)

        with pytest.raises(TimeoutError):
            await within(never(), 0)
        future = asyncio.get_running_loop().create_future()
        with pytest.raises(TimeoutError):
            await within(future, -1)
        assert future.cancelled()

    asyncio.run(body())


def test_what_is_late_is_cancelled():
    async def body():
        seen = []

        async def never():
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise

        with pytest.raises(TimeoutError):
            await within(never(), 1_000_000)
        assert seen == ["cancelled"]

    asyncio.run(body())


# ---------------------------------------------------------------- dependency


def dependency(call, *, retries=None, clock=None, check=lambda _, __: ""):
    return Dependency(
        "store",
        call,
        kind=int,
        check=check,
        breaker=breaker(),
        retries=retries,
        slow_ns=200 * MS,
        clock=clock or HandClock(),
    )


def test_a_value_that_is_there_is_returned_without_a_coroutine():
    d = dependency(lambda key: key + 1)
    assert [d.start(k, 41) for k in range(3)] == [42, 42, 42]
    assert (d.calls, d.unusable) == (3, 0)


def test_an_error_is_unavailable_and_never_raised():
    def broken(_):
        raise ConnectionError

    d = dependency(broken)
    outcome = d.start(0, 1)
    assert isinstance(outcome, Unavailable)
    assert outcome.cause == "error"


def test_an_outage_is_met_with_a_tenth_more_calls_at_most_and_then_with_none():
    asked = []

    def broken(key):
        asked.append(key)
        raise ConnectionError

    d = dependency(broken, retries=RetryBudget(0.1, 10))
    outcomes = [d.start(0, k) for k in range(1000)]
    assert {outcome.cause for outcome in outcomes} == {"error", "open"}
    assert len(asked) <= 31  # twenty calls open the breaker, with ten retries at most
    assert d.calls == d.unusable == 1000


def test_one_retry_repairs_a_single_failure():
    answers = [ConnectionError(), 7]

    def flaky(_):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    d = dependency(flaky, retries=RetryBudget(0.1, 10))
    assert d.start(0, 1) == 7
    assert (d.retried, d.unusable) == (1, 0)


def test_a_pending_call_times_out_within_the_remaining_time():
    async def body():
        clock = HandClock()

        async def slow(_):
            await asyncio.sleep(3600)

        d = dependency(slow, clock=clock)
        pending = d.start(clock.now_ns(), 1)
        outcome = await d.finish(pending, clock.now_ns(), clock.now_ns() + 2 * MS, 1)
        assert isinstance(outcome, Unavailable)
        assert outcome.cause == "timeout"

    asyncio.run(body())


def test_a_pending_failure_is_retried_once_and_no_more():
    async def body():
        asked = []

        async def broken(key):
            asked.append(key)
            raise ConnectionError

        d = dependency(broken, retries=RetryBudget(0.0, 1))
        now = d.clock.now_ns()
        outcome = await d.finish(d.start(now, 1), now, now + SECOND, 1)
        assert outcome.cause == "error"
        assert asked == [1, 1]

    asyncio.run(body())


def test_a_slow_answer_is_used_and_counts_against_the_breaker():
    async def body():
        clock = HandClock()

        async def slow(_):
            await clock.advance(201 * MS)
            return 7

        d = dependency(slow, clock=clock)
        for _ in range(20):
            now = clock.now_ns()
            assert await d.finish(d.start(now, 1), now, now + SECOND, 1) == 7
        assert d.breaker.state == "open"

    asyncio.run(body())


def test_a_stale_answer_is_unusable_and_no_failure_of_the_call():
    d = dependency(lambda _: 7, check=lambda _, __: "stale")
    outcomes = [d.start(0, 1) for _ in range(100)]
    assert {outcome.cause for outcome in outcomes} == {"stale"}
    assert d.breaker.state == "closed"


# Many calls at once


def per_row(alone):
    return Dependency(
        "model",
        alone,
        kind=float,
        check=lambda answer, _: "nan" if math.isnan(answer) else "",
        breaker=breaker(),
        retries=None,
        slow_ns=SECOND,
        clock=HandClock(),
    )


def never(_):
    raise AssertionError("asked for itself")


def test_a_healthy_dependency_is_asked_once_for_many():
    model = per_row(never)
    assert model.start_all(SECOND, [(1.0,), (2.0,)], lambda: [10.0, 20.0]) == [10.0, 20.0]
    assert (model.calls, model.unusable) == (2, 0)


def test_an_answer_that_is_none_costs_the_others_nothing():
    model = per_row(never)
    first, second, third = model.start_all(SECOND, [(1.0,), (2.0,), (3.0,)], lambda: [10.0, float("nan"), 30.0])
    assert (first, second.cause, third) == (10.0, "nan", 30.0)
    assert (model.calls, model.unusable) == (3, 1)


@given(rows=st.lists(st.sampled_from([1.0, 2.0, 3.0, -1.0]), max_size=8))
def test_a_call_that_raises_harms_no_other(rows):
    def alone(row):
        if row < 0:
            raise ArithmeticError
        return row * 10

    model = per_row(alone)
    answers = model.start_all(SECOND, [(row,) for row in rows], lambda: [alone(row) for row in rows])
    for row, answer in zip(rows, answers, strict=True):
        assert (answer.cause == "error") if row < 0 else (answer == row * 10)
    assert (model.calls, model.unusable) == (len(rows), sum(row < 0 for row in rows))


def test_too_few_answers_are_none():
    model = per_row(lambda row: row * 10)
    assert model.start_all(SECOND, [(1.0,), (2.0,)], lambda: [99.0]) == [10.0, 20.0]


def test_a_breaker_that_is_not_closed_decides_call_by_call():
    model = per_row(lambda row: row)
    fail(model.breaker, SECOND, 20)
    assert [a.cause for a in model.start_all(SECOND, [(1.0,), (2.0,)], lambda: [9.0, 9.0])] == ["open", "open"]

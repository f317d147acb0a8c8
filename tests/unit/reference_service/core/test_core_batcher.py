"""Whoever asks together with others is answered once, about their own row, and suffers for nobody else's."""

import asyncio
import heapq
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_service.core.batcher import Batcher, Full, Refused
from reference_service.core.call_cost import CallCost


class HandClock:
    """Time moves when everything else has come to rest."""

    def __init__(self):
        self.now, self._heap, self._ids = 0, [], itertools.count()

    def now_ns(self):
        return self.now

    async def sleep(self, ns):
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._heap, (self.now + ns, next(self._ids), woken))
        await woken

    async def run(self, *work):
        """Let time pass until all of the work is done."""
        everything = asyncio.gather(*work, return_exceptions=True)
        while not everything.done():
            for _ in range(20):
                await asyncio.sleep(0)
            if self._heap and not everything.done():
                due, _, woken = heapq.heappop(self._heap)
                self.now = max(self.now, due)
                if not woken.done():
                    woken.set_result(None)
        return everything.result()


class Model:
    """The margin of a row is its first value times ten. Raises where the second is not 0, and takes a·n + b."""

    def __init__(self, clock, a=100_000, b=5_000_000):
        self.clock, self.a, self.b = clock, a, b
        self.sizes, self.busy = [], False

    async def __call__(self, values):
        assert not self.busy, "one call at a time"
        self.busy = True
        await self.clock.sleep(self.a * len(values) + self.b)
        self.busy = False
        self.sizes.append(len(values))
        if values[:, 1].any():
            raise RuntimeError("poison")
        return (values[:, 0] * 10).tolist()


def batcher(clock, model, *, rows=16, backlog=10_000, cost=None):
    return Batcher(model, clock, rows=rows, backlog=backlog, cost=cost or CallCost())


def learnt(a, b):
    cost = CallCost()
    for rows in (1, 50, 2, 100):
        cost.add(rows, a * rows + b)
    return cost


CALLERS = st.lists(
    st.tuples(st.integers(0, 20_000_000), st.booleans(), st.one_of(st.none(), st.integers(0, 20_000_000))),
    min_size=1,
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(CALLERS, st.integers(1, 16), st.sampled_from([(0, 3_000_000), (100_000, 5_000_000), (2_000_000, 10_000)]))
def test_each_is_answered_once_about_its_own_row_and_only_poison_fails(callers, rows, line):
    """Callers come when they like, some with poison, some leave early."""

    async def body():
        clock = HandClock()
        model = Model(clock, *line)
        asked = batcher(clock, model, rows=rows, cost=learnt(*line))
        buffer, told = np.zeros(2), []

        async def caller(k, at, poison, patience):
            await clock.sleep(at)
            buffer[:] = k, poison  # all of them write in one place, as the pipeline does
            answer = asked(buffer)
            answer.add_done_callback(lambda _: told.append(k))
            if patience is not None:
                waits = asyncio.ensure_future(clock.sleep(patience))
                await asyncio.wait((answer, waits), return_when=asyncio.FIRST_COMPLETED)
                if not answer.done():
                    answer.cancel()
            return await answer

        found = await clock.run(*(caller(k, *each) for k, each in enumerate(callers)))
        for k, ((_, poison, patience), outcome) in enumerate(zip(callers, found, strict=True)):
            if isinstance(outcome, asyncio.CancelledError):
                assert patience is not None
            elif poison:
                assert isinstance(outcome, Refused), outcome
            else:
                assert outcome == k * 10.0
        assert sorted(told) == list(range(len(callers)))
        assert max(model.sizes, default=0) <= rows

    asyncio.run(body())


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(0, 63)))
def test_poison_is_found_in_few_calls(poison):
    async def body():
        clock = HandClock()
        model = Model(clock)
        asked = batcher(clock, model, rows=64, cost=learnt(0, 5_000_000))
        found = await clock.run(*(asked(np.array([k, k in poison], dtype=float)) for k in range(64)))
        assert {k for k, each in enumerate(found) if isinstance(each, Refused)} == poison
        assert asked.calls <= min(127, 1 + 2 * 6 * len(poison))

    asyncio.run(body())


def test_who_has_left_is_not_asked_about():
    async def body():
        clock = HandClock()
        model = Model(clock)
        asked = batcher(clock, model)
        first, gone, last = (asked(np.array([k, 0.0])) for k in range(3))
        gone.cancel()
        assert (await clock.run(first, last)) == [0.0, 20.0]
        assert model.sizes == [2]

    asyncio.run(body())


@pytest.mark.parametrize("error", [TimeoutError, ConnectionResetError])
def test_where_the_model_was_not_reached_no_row_is_to_blame(error):
    async def body():
        clock, sizes = HandClock(), []

        async def gone(values):
            sizes.append(len(values))
            raise error

        asked = batcher(clock, gone, cost=learnt(0, 5_000_000))
        found = await clock.run(*(asked(np.zeros(2)) for _ in range(9)))
        assert {type(each) for each in found} == {error}
        assert sizes == [9]

    asyncio.run(body())


@pytest.mark.parametrize("wrong", [[1.0], [], [1.0] * 20])
def test_another_number_of_margins_is_no_answer(wrong):
    async def body():
        clock = HandClock()
        asked = batcher(clock, lambda values: wrong if len(values) > 1 else [7.0])
        assert await clock.run(*(asked(np.zeros(2)) for _ in range(5))) == [7.0] * 5

    asyncio.run(body())


def test_a_model_that_stops_iterating_is_like_any_other_that_raises():
    async def body():
        clock = HandClock()

        def model(_values):
            raise StopIteration

        (found,) = await clock.run(batcher(clock, model)(np.zeros(2)))
        assert isinstance(found, Refused)

    asyncio.run(body())


def test_no_more_wait_than_there_is_room_for_and_who_left_makes_room():
    async def body():
        clock = HandClock()
        model = Model(clock)
        asked = batcher(clock, model, backlog=3)
        waiting = [asked(np.array([k, 0.0])) for k in range(3)]
        with pytest.raises(Full):
            asked(np.zeros(2))
        waiting[1].cancel()
        late = asked(np.array([9.0, 0.0]))
        assert await clock.run(waiting[0], waiting[2], late) == [0.0, 20.0, 90.0]

    asyncio.run(body())


async def evenly(clock, asked, count, gap):
    """Mean waiting of callers who come at even gaps."""

    async def caller(k):
        await clock.sleep(k * gap)
        began = clock.now
        assert await asked(np.array([k, 0.0])) == k * 10
        return clock.now - began

    found = await clock.run(*(caller(k) for k in range(count)))
    assert all(isinstance(each, int) for each in found), found
    return sum(found) / count


def test_where_a_call_is_dear_rows_go_together_and_wait_less():
    """A call of 5 ms and 0.1 ms a row, a caller a millisecond: one by one the queue only grows."""

    async def body():
        means, calls = [], []
        for rows in (1, 64):
            clock = HandClock()
            asked = batcher(clock, Model(clock), rows=rows)
            means.append(await evenly(clock, asked, 300, 1_000_000))
            calls.append(asked.calls)
        assert calls[0] == 300
        assert calls[1] < 100
        assert means[1] < means[0] / 20

    asyncio.run(body())


def test_where_a_row_is_dear_it_turns_itself_off():
    """A call of 10 us and 1 ms a row: from nothing known it learns within a few calls to send one row at a time."""

    async def body():
        clock = HandClock()
        model = Model(clock, a=1_000_000, b=10_000)
        asked = batcher(clock, model, rows=64)
        mean = await evenly(clock, asked, 400, 900_000)  # a little more than it can answer: there is always a queue
        late = model.sizes[20:]
        assert late.count(1) > 0.9 * len(late)  # and now and then two, to see whether that still holds
        assert max(late) <= 2
        clock = HandClock()
        assert mean < 1.1 * await evenly(clock, batcher(clock, Model(clock, 1_000_000, 10_000), rows=1), 400, 900_000)

    asyncio.run(body())


def test_a_lonely_caller_is_never_kept_waiting():
    async def body():
        clock = HandClock()
        asked = batcher(clock, Model(clock), cost=learnt(100_000, 5_000_000))
        assert await evenly(clock, asked, 50, 40_000_000) == 5_100_000

    asyncio.run(body())


def test_company_that_is_about_to_come_is_waited_for():
    """Every 2 ms one, a call of 20 ms: going at once, each but the first would find the model busy for long."""

    async def body():
        clock = HandClock()
        asked = batcher(clock, Model(clock, 100_000, 20_000_000), cost=learnt(100_000, 20_000_000), rows=64)
        await evenly(clock, asked, 100, 2_000_000)  # to know the gap
        await clock.run(clock.sleep(1_000_000_000))
        before = asked.calls
        answers = []

        async def caller(k):
            await clock.sleep(k * 2_000_000)
            answers.append(await asked(np.array([k, 0.0])))

        await clock.run(*(caller(k) for k in range(5)))
        assert answers == [0, 10, 20, 30, 40]
        assert asked.calls - before < 3

    asyncio.run(body())

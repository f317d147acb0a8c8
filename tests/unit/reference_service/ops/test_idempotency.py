from __future__ import annotations

import asyncio

import pytest
from conftest import SECOND, START, HandClock, run, settle
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from reference_service.guards import idempotency
from reference_service.guards.idempotency import BadKey, Busy, Idempotency, Kept, Reused, fingerprint, scope
from reference_service.guards.kept_answers import KeptAnswers

DAY = 24 * 3600 * SECOND
LATE = START + SECOND


class Model:
    """Answers with the number of the call, and knows how often it was asked."""

    def __init__(self, status=200):
        self.calls = 0
        self.status = status

    async def __call__(self):
        self.calls += 1
        return self.status, b"answer %d" % self.calls


class Slow(Model):
    """The same, once it is let."""

    def __init__(self):
        super().__init__()
        self.let = asyncio.get_running_loop().create_future()

    async def __call__(self):
        answer = await super().__call__()
        await asyncio.shield(self.let)
        return answer


class Unreachable:
    async def claim(self, *_):
        raise ConnectionError

    keep = drop = claim


def guard(size=1 << 20, clock=None, store=None):
    return Idempotency(KeptAnswers(DAY, size) if store is None else store, clock or HandClock())


# ---------------------------------------------------------------- whose key


def headers(*keys, **others):
    return [(b"idempotency-key", key) for key in keys] + [(k.encode(), v) for k, v in others.items()]


def test_a_key_belongs_to_its_caller():
    mine = scope(headers(b"k", authorization=b"Bearer a"), ("10.0.0.1", 1))
    assert mine == scope(headers(b"k", authorization=b"Bearer a"), ("10.0.0.2", 9))  # a retry from another machine
    assert mine != scope(headers(b"k", authorization=b"Bearer b"), ("10.0.0.1", 1))
    assert mine != scope(headers(b"k"), ("10.0.0.1", 1))
    assert scope(headers(b"k"), ("10.0.0.1", 1)) == scope(headers(b"k"), ("10.0.0.1", 2))
    assert scope(headers(b"k"), ("10.0.0.1", 1)) != scope(headers(b"k"), ("10.0.0.2", 1))
    assert scope(headers(b"k"), None)


def test_the_drafts_quoted_form_is_the_same_key():
    assert scope(headers(b'"k"'), None) == scope(headers(b" k "), None) != scope(headers(b"kk"), None)


@pytest.mark.parametrize("keys", [(b"",), (b'""',), (b"a", b"a"), (b"x" * 256,), (b"a b",), (b"\xff",), ()])
def test_what_is_no_key_is_said_so(keys):
    with pytest.raises(BadKey):
        scope(headers(*keys), None)


def test_the_longest_key_is_a_key():
    assert scope(headers(b"x" * 255), None)


@given(st.lists(st.binary(max_size=3), max_size=3), st.lists(st.binary(max_size=3), max_size=3))
def test_fingerprints_are_equal_for_equal_parts_only(one, other):
    assert (fingerprint(*one) == fingerprint(*other)) == (one == other)


# ---------------------------------------------------------------- one answer


def test_a_retry_gets_the_first_answer_and_nothing_is_decided_twice():
    async def body():
        g, old, new = guard(), Model(), Model()
        first = await g.answer(b"s", b"p", LATE, old)
        again = await g.answer(b"s", b"p", LATE, new)  # another version answers by now
        assert first == (200, b"answer 1", False)
        assert again == (200, b"answer 1", True)
        assert (old.calls, new.calls, g.replayed) == (1, 0, 1)

    run(body())


def test_another_payload_under_the_same_key_is_refused_and_the_first_answer_stands():
    async def body():
        g, model = guard(), Model()
        await g.answer(b"s", b"p", LATE, model)
        with pytest.raises(Reused):
            await g.answer(b"s", b"q", LATE, model)
        assert (await g.answer(b"s", b"p", LATE, model)).body == b"answer 1"
        assert (model.calls, g.reused) == (1, 1)

    run(body())


def test_another_payload_is_refused_while_the_first_is_in_flight():
    async def body():
        g, model = guard(), Slow()
        first = asyncio.create_task(g.answer(b"s", b"p", LATE, model))
        await settle()
        with pytest.raises(Reused):
            await g.answer(b"s", b"q", LATE, model)
        model.let.set_result(None)
        assert (await first).status == 200

    run(body())


def test_another_key_is_another_request():
    async def body():
        g, model = guard(), Model()
        assert (await g.answer(b"s", b"p", LATE, model)).body == b"answer 1"
        assert (await g.answer(b"t", b"p", LATE, model)).body == b"answer 2"

    run(body())


@pytest.mark.parametrize(("status", "calls"), [(200, 1), (400, 1), (422, 1), (429, 2), (500, 2), (503, 2), (504, 2)])
def test_what_a_retry_may_repair_is_not_stored(status, calls):
    async def body():
        g, model = guard(), Model(status)
        await g.answer(b"s", b"p", LATE, model)
        again = await g.answer(b"s", b"p", LATE, model)
        assert model.calls == calls
        assert again.replayed == (calls == 1)

    run(body())


def test_an_answer_stands_for_a_day_to_the_nanosecond():
    async def body():
        clock, model = HandClock(), Model()
        g = guard(clock=clock)
        await g.answer(b"s", b"p", LATE, model)
        await clock.advance(DAY - 1)
        assert (await g.answer(b"s", b"p", LATE, model)).replayed
        await clock.advance(1)
        assert not (await g.answer(b"s", b"q", LATE, model)).replayed
        assert model.calls == 2

    run(body())


# ---------------------------------------------------------------- at the same time


def test_those_who_come_meanwhile_share_one_answer():
    async def body():
        g, model = guard(), Slow()
        asked = [asyncio.create_task(g.answer(b"s", b"p", LATE, model)) for _ in range(5)]
        await settle()
        assert model.calls == 1
        model.let.set_result(None)
        answers = await asyncio.gather(*asked)
        assert {answer.body for answer in answers} == {b"answer 1"}
        assert [answer.replayed for answer in answers] == [False, True, True, True, True]

    run(body())


def test_who_has_waited_its_time_is_told_to_come_back_and_the_others_go_on_waiting():
    async def body():
        g, model = guard(), Slow()
        first = asyncio.create_task(g.answer(b"s", b"p", LATE, model))
        patient = asyncio.create_task(g.answer(b"s", b"p", LATE, model))
        await settle()
        with pytest.raises(Busy):
            await g.answer(b"s", b"p", START + 1_000_000, model)
        with pytest.raises(Busy):
            await g.answer(b"s", b"p", START, model)
        model.let.set_result(None)
        assert [a.body for a in await asyncio.gather(first, patient)] == [b"answer 1"] * 2
        assert (model.calls, g.busy) == (1, 2)

    run(body())


def test_a_failure_is_shared_by_those_who_waited_for_it_and_by_no_other():
    async def body():
        g, model = guard(), Slow()
        model.status = 503
        asked = [asyncio.create_task(g.answer(b"s", b"p", LATE, model)) for _ in range(3)]
        await settle()
        model.let.set_result(None)
        assert {a.status for a in await asyncio.gather(*asked)} == {503}
        assert model.calls == 1
        await g.answer(b"s", b"p", LATE, model)
        assert model.calls == 2

    run(body())


@pytest.mark.parametrize("how", ["cancelled", "raised"])
def test_work_that_comes_to_nothing_passes_on_to_the_next(how):
    async def body():
        g, lost, model = guard(), Slow(), Model()
        first = asyncio.create_task(g.answer(b"s", b"p", LATE, lost))
        await settle()
        second = asyncio.create_task(g.answer(b"s", b"p", LATE, model))
        third = asyncio.create_task(g.answer(b"s", b"p", LATE, model))
        await settle()
        if how == "cancelled":
            first.cancel()
        else:
            lost.let.set_exception(RuntimeError())
        with pytest.raises(asyncio.CancelledError if how == "cancelled" else RuntimeError):
            await first
        assert [a.body for a in await asyncio.gather(second, third)] == [b"answer 1"] * 2
        assert model.calls == 1

    run(body())


def test_a_key_that_another_process_is_answering_is_busy_at_once():
    async def body():
        store = KeptAnswers(DAY, 1 << 20)
        await store.claim(b"s", b"p", START)
        with pytest.raises(Busy):
            await guard(store=store).answer(b"s", b"p", LATE, Model())

    run(body())


def test_a_store_that_cannot_be_reached_stops_no_answer_and_is_counted():
    async def body():
        g, model = guard(store=Unreachable()), Model()
        assert await g.answer(b"s", b"p", LATE, model) == (200, b"answer 1", False)
        assert g.unguarded == 1

        class Forgetful(KeptAnswers):
            async def keep(self, *_):
                raise TimeoutError

        g = guard(store=Forgetful(DAY, 1 << 20))
        assert await g.answer(b"s", b"p", LATE, model) == (200, b"answer 2", False)
        assert g.unguarded == 1

    run(body())


def test_one_that_is_strict_refuses_while_the_store_is_out_of_reach_and_keeps_what_it_decided_once_it_is_back():
    async def body():
        class Jumping(HandClock):
            async def sleep(self, ns):
                self._now += ns

        clock, model = Jumping(), Model()
        g = Idempotency(Unreachable(), clock, strict=True)
        with pytest.raises(idempotency.Unreachable):
            await g.answer(b"s", b"p", LATE, model)
        assert (g.unreachable, g.unguarded, model.calls) == (1, 0, 0)

        class Restarting(KeptAnswers):
            away = 3

            async def keep(self, *kept):
                self.away -= 1
                if self.away >= 0:
                    raise TimeoutError
                await super().keep(*kept)

        g = Idempotency(Restarting(DAY, 1 << 20), clock, strict=True)
        assert await g.answer(b"s", b"p", LATE, model) == (200, b"answer 1", False)
        assert await g.answer(b"s", b"p", LATE, model) == (200, b"answer 1", True)
        assert g.unguarded == 0

    run(body())


# ---------------------------------------------------------------- memory


def answered(store, number, at_ns, body=b"x" * 488):
    async def steps():
        key = fingerprint(b"%d" % number)
        await store.claim(key, b"p", at_ns)
        await store.keep(key, Kept(b"p", 200, body, at_ns))

    asyncio.run(steps())


def known(store, number, now_ns):
    async def steps():
        key = fingerprint(b"%d" % number)
        found = await store.claim(key, b"p", now_ns)
        if found is None:
            await store.drop(key)
        return found is not None

    return asyncio.run(steps())


def test_a_full_memory_gives_up_the_oldest_answers_and_says_how_far_it_reaches():
    store = KeptAnswers(DAY, 10_000)  # ten entries of 1,000 bytes
    for number in range(25):
        answered(store, number, START + number)
    assert store.entries == 10
    assert store.given_up == 15
    assert store.reaches_ns == START + 14
    assert [known(store, number, START + 25) for number in range(25)] == [False] * 15 + [True] * 10


def test_what_is_in_flight_is_never_given_up():
    store = KeptAnswers(DAY, 2000)
    asyncio.run(store.claim(b"s", b"p", START))
    for number in range(25):
        answered(store, number, START)
    assert asyncio.run(store.claim(b"s", b"p", START)).status == 0


def test_an_answer_larger_than_the_memory_is_given_up_alone():
    store = KeptAnswers(DAY, 10_000)
    answered(store, 1, START)
    answered(store, 2, START, b"x" * 20_000)
    assert not known(store, 2, START)
    assert (store.entries, store.bytes) == (0, 0)


def test_the_first_answer_to_a_key_stays():
    store = KeptAnswers(DAY, 10_000)
    answered(store, 1, START, b"first")

    async def again():
        key = fingerprint(b"1")
        await store.keep(key, Kept(b"p", 200, b"second", START))
        return (await store.claim(key, b"p", START)).body

    assert asyncio.run(again()) == b"first"


def test_expiry_frees_memory_without_a_pause_and_is_not_counted_as_given_up():
    store = KeptAnswers(DAY, 1 << 20)
    for number in range(100):
        answered(store, number, START)
    answered(store, 100, START + DAY)
    assert store.entries == 97
    for number in range(101, 201):
        answered(store, number, START + DAY)
    assert store.entries == 101
    assert store.given_up == 0


def test_what_has_expired_is_unknown_even_before_it_is_swept_up():
    store = KeptAnswers(DAY, 1 << 20)
    for number in range(100):
        answered(store, number, START)
    assert not known(store, 50, START + DAY)
    assert not known(store, 99, START + DAY)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1), st.sampled_from([200, 422, 503]), st.integers(0, 30))))
@effort(max_examples=100, deadline=None)
def test_law_every_sequence_of_retries_is_answered_as_if_memory_were_a_plain_table(requests):
    """Against a model: a table from key to (payload, first stored answer, time), kept for 60 seconds."""

    async def body():
        clock = HandClock()
        g = Idempotency(KeptAnswers(60 * SECOND, 1 << 20), clock)
        table, calls = {}, 0
        for key, payload, status, seconds in requests:
            await clock.advance(seconds * SECOND)
            now = clock.now_ns()
            held = table.get(key)
            if held is not None and now - held[2] >= 60 * SECOND:
                held = table.pop(key) and None

            async def work(status=status):
                nonlocal calls
                calls += 1
                return status, b"%d" % calls

            name = fingerprint(b"%d" % key)
            before = calls
            if held is not None and held[0] != payload:
                with pytest.raises(Reused):
                    await g.answer(name, b"%d" % payload, now + SECOND, work)
                assert calls == before
                continue
            found = await g.answer(name, b"%d" % payload, now + SECOND, work)
            if held is not None:
                assert found == (*held[1], True)
                assert calls == before
            else:
                assert found == (status, b"%d" % calls, False)
                assert calls == before + 1
                if status < 500:
                    table[key] = (payload, (found.status, found.body), now)

    run(body())

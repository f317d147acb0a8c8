"""The limiter in front of a virtual CPU: what is answered in time at 0.9, 1.5 and 10 times what the CPU can do."""

from __future__ import annotations

import random
from collections import Counter, deque

import pytest

from reference_service.guards.fair_share import FairShare
from reference_service.guards.limiter import Limiter
from simulator.drivers.virtual.cpu import VirtualCpu, Wait
from simulator.drivers.virtual.loop import VirtualLoop

SECOND = 1_000_000_000
MS = SECOND // 1000
DEADLINE = 250 * MS
SERVICE = 5 * MS  # one core: 200 requests a second


class World:
    """Clients, a limiter, one core. `good` and `refused` hold (second of the run, caller)."""

    def __init__(self, limiter, *, refusing_ns=0):
        self.limiter = limiter
        self.loop = VirtualLoop()
        self.cpu = VirtualCpu(self.loop, 1)
        self.service_ns = SERVICE
        self.refusing_ns = refusing_ns
        self.sent, self.good, self.late, self.refused = Counter(), Counter(), Counter(), Counter()
        self.attempts = []

    async def ask(self, caller):
        """One request; None, or the seconds after which to come back."""
        now = arrived = self.loop.now_ns
        second = now // SECOND
        self.sent[second, caller] += 1
        ticket = self.limiter.admit((caller, 1), now)
        if not ticket:
            self.refused[second, caller] += 1
            if self.refusing_ns:
                self.cpu.finish_ns(self.refusing_ns)
            return self.limiter.retry_after_s(now)
        await Wait(self.loop, self.cpu.finish_ns(self.service_ns))
        now = self.loop.now_ns
        self.limiter.turn(now, ticket)
        self.limiter.leave()
        found = self.good if now - arrived <= DEADLINE else self.late
        found[now // SECOND, caller] += 1
        return None

    async def insist(self, caller, wait_s):
        """Come back until answered, each time after `wait_s` of what one is told."""
        tries = 1
        while (told := await self.ask(caller)) is not None:
            tries += 1
            await Wait(self.loop, self.loop.now_ns + wait_s(told) * SECOND)
        self.attempts.append(tries)
        self.answered_ns = self.loop.now_ns

    def arrivals(self, caller, per_second, start_s, end_s, *, client=None, seed=1):
        """Poisson arrivals."""
        draw = random.Random(f"{seed}/{caller}")  # noqa: S311  # arrivals, not secrets
        at = start_s * SECOND
        while (at := at + round(draw.expovariate(per_second) * SECOND)) < end_s * SECOND:
            self.loop.post(at, lambda _: self.loop.create_task((client or self.ask)(caller)), None)

    def run(self, seconds):
        self.loop.run_until(seconds * SECOND)
        self.loop.run_until(max(seconds * SECOND, *self.cpu._free_at) + 120 * SECOND)  # nothing is left pending
        self.loop.close()
        return self

    def share(self, found, first, last, caller=None):
        """Per second, of what the CPU can do."""
        total = sum(n for (s, c), n in found.items() if first <= s < last and caller in {None, c})
        return total / (last - first) / (SECOND / SERVICE)


def limiter(**changed):
    return Limiter(2048, DEADLINE // 2, 2, fair=FairShare(64, 8), **changed)


def loaded(times, guard, seconds=10, **options):
    world = World(guard, **options)
    world.arrivals("a", times * 200, 0, seconds)
    return world.run(seconds)


def test_below_capacity_nobody_is_late_and_next_to_nobody_refused():
    world = loaded(0.9, limiter(), 30)
    assert not world.late
    assert world.refused.total() <= 0.001 * world.sent.total()


@pytest.mark.parametrize("times", [1.5, 10])
def test_overload_costs_less_than_a_tenth_of_capacity(times):
    world = loaded(times, limiter())
    assert world.share(world.good, 1, 10) >= 0.9
    assert world.late.total() <= 0.01 * world.good.total()


@pytest.mark.parametrize("times", [1.5, 10])
def test_without_the_limiter_goodput_collapses(times):
    world = loaded(times, limiter(enabled=False))
    assert world.share(world.good, 1, 10) <= 0.3


def test_refusing_that_costs_a_fiftieth_of_an_answer_is_paid_for_and_no_more():
    world = loaded(10, limiter(), refusing_ns=SERVICE // 50)
    assert world.share(world.good, 1, 10) >= 0.9 * (1 - 9 / 50)


def test_a_service_that_becomes_ten_times_slower_is_late_for_seconds_and_not_for_ever():
    world = World(limiter())
    world.arrivals("a", 300, 0, 20)
    world.loop.post(5 * SECOND, lambda _: setattr(world, "service_ns", 10 * SERVICE), None)
    world.run(20)
    assert world.share(world.good, 1, 5) >= 0.9
    assert world.share(world.good, 9, 20) >= 0.09
    assert sum(n for (s, _), n in world.late.items() if s >= 9) == 0


def test_a_service_that_was_slow_is_believed_to_be_fast_again_within_seconds():
    world = World(limiter())
    world.service_ns = 10 * SERVICE
    world.arrivals("a", 300, 0, 20)
    world.loop.post(5 * SECOND, lambda _: setattr(world, "service_ns", SERVICE), None)
    world.run(20)
    assert world.share(world.good, 7, 20) >= 0.9


def test_a_spike_leaves_nothing_behind():
    world = World(limiter())
    world.arrivals("a", 140, 0, 20)
    world.arrivals("b", 2000, 5, 7)
    world.run(20)
    after = [(s, c) for (s, c) in world.refused if s >= 8]
    assert world.share(world.good, 8, 20) == pytest.approx(0.7, rel=0.1)
    assert not after


@pytest.mark.parametrize(("fair", "least", "most"), [(True, 0.95, 1.1), (False, 0, 0.4)])
def test_a_greedy_caller_starves_nobody(fair, least, most):
    guard = limiter() if fair else Limiter(2048, DEADLINE // 2, 2)
    world = World(guard)
    world.arrivals("greedy", 1800, 0, 10)
    for name in ("b", "c", "d"):
        world.arrivals(name, 20, 0, 10)
    world.run(10)
    for name in ("b", "c", "d"):
        served = sum(n for (s, c), n in world.good.items() if c == name and s >= 1)
        sent = sum(n for (s, c), n in world.sent.items() if c == name and s >= 1)
        assert least <= served / sent <= most
    assert world.share(world.good, 1, 10) >= 0.9  # what they leave is the greedy one's


def insisted(wait_s):
    """(mean attempts, seconds until the last is answered) of 2,000 clients within a second: ten times too many."""
    world = World(limiter())
    world.arrivals("a", 2000, 0, 1, client=lambda caller: world.insist(caller, wait_s))
    world.run(1)
    assert len(world.attempts) == world.sent.total() - world.refused.total()
    return sum(world.attempts) / len(world.attempts), world.answered_ns / SECOND


def test_who_comes_back_when_told_is_answered_then():
    attempts, seconds = insisted(lambda told: told)
    assert attempts <= 2.2
    assert seconds <= 15  # no work on earth answers 2,000 in less than 10
    assert insisted(lambda _: 1)[0] >= 4  # a constant: all come back at once, and are refused once more


def test_clients_that_never_finish_sending_are_no_queue():
    guard = limiter()
    now = 0
    held = [guard.admit(("slow", 1), now) for _ in range(100)]
    assert all(held)
    for _ in range(100):  # a quiet day beside them: ten requests a second, each with its turn at once
        now += 100 * MS
        ticket = guard.admit(("quick", 1), now)
        assert ticket
        guard.turn(now, ticket)
        guard.leave()
    assert guard.waiting == 0
    assert guard.in_flight == 100
    for ticket in held:  # they come to an end after all, and take nobody's place in the queue
        guard.turn(now, ticket)
        assert guard.waiting == 0


class Server(World):
    """As most servers do: the app is called at a request's turn, and refusing takes its turn as well."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.queue, self.told = deque(), []

    async def stand(self, caller):
        arrived = self.loop.now_ns
        self.sent[arrived // SECOND, caller] += 1
        self.queue.append((self.limiter.stand(), arrived, caller))
        if len(self.queue) == 1:
            await self.work()

    async def work(self):
        while self.queue:
            ticket, arrived, caller = self.queue[0]
            now = self.loop.now_ns
            admitted = self.limiter.admit_waited(ticket, arrived, now)
            await Wait(self.loop, self.cpu.finish_ns(self.service_ns if admitted else self.refusing_ns))
            now = self.loop.now_ns
            if admitted:
                self.limiter.leave()
            else:
                self.told.append(self.limiter.retry_after_s(now))
            found = self.refused if not admitted else self.good if now - arrived <= DEADLINE else self.late
            found[now // SECOND, caller] += 1
            self.queue.popleft()


def served(times, guard):
    world = Server(guard, refusing_ns=SERVICE // 50)
    world.arrivals("a", times * 200, 0, 10, client=world.stand)
    return world.run(10)


@pytest.mark.parametrize("times", [1.5, 10])
def test_where_the_app_is_called_at_a_requests_turn_it_refuses_what_has_waited_too_long(times):
    world = served(times, limiter())
    assert world.share(world.good, 1, 10) >= 0.9 * (1 - (times - 1) / 50)
    assert not world.late
    assert world.limiter.waiting == world.limiter.in_flight == 0
    assert max(world.told) in ({30} if times == 10 else {1, 2})
    assert world.share(served(times, limiter(enabled=False)).good, 1, 10) <= 0.3


def test_those_who_still_stand_are_a_queue_though_nobody_is_in_flight():
    guard = limiter()
    first, *_ = [guard.stand() for _ in range(3)]
    assert guard.admit_waited(first, SECOND, SECOND)
    guard.leave()
    assert (guard.waiting, guard.in_flight) == (2, 0)
    for ticket in (2, 3):
        assert guard.admit_waited(ticket, SECOND, SECOND)
        guard.leave()
    assert guard.admit(("a", 1), SECOND)
    guard.leave()
    assert guard.waiting == 0


def test_refusing_is_no_sign_of_pace():
    guard = limiter()
    first, second, third = [guard.stand() for _ in range(3)]
    assert not guard.admit_waited(first, SECOND, 2 * SECOND)
    assert guard.admit_waited(second, 2 * SECOND, 2 * SECOND + 1000)
    assert guard.expected_wait_ns() == 0
    assert guard.admit_waited(third, 2 * SECOND, 2 * SECOND + SERVICE)
    guard.stand()
    assert guard.expected_wait_ns() == SERVICE - 1000


def test_who_leaves_without_a_turn_leaves_the_queue():
    guard = limiter()
    for _ in range(30):
        assert guard.admit(("a", 1), SECOND)
    for _ in range(30):
        guard.leave()
    assert guard.waiting == guard.in_flight == 0


def test_a_queue_that_does_not_move_is_tried_by_one_newcomer():
    guard = Limiter(2048, DEADLINE // 2, 2)
    now = SECOND
    for _ in range(50):  # learns a pace of 5 ms
        tickets = [guard.admit(("a", 1), now) for _ in range(2)]
        for ticket in tickets:
            now += SERVICE
            guard.turn(now, ticket)
            guard.leave()
    while guard.admit(("slow", 1), now):
        pass
    assert guard.waiting <= 30
    assert not guard.admit(("quick", 1), now + 100 * MS)
    now += 200 * MS
    ticket = guard.admit(("quick", 1), now)
    assert ticket
    assert not guard.admit(("quick", 1), now)
    guard.turn(now, ticket)
    assert guard.waiting == 0
    assert guard.admit(("quick", 1), now)

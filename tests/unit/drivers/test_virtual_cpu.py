"""The virtual CPU is a first-come-first-served queue: held against the closed formulas of queueing theory."""

import math

import numpy as np
import pytest

from simulator.drivers.virtual.cpu import Quota, VirtualCpu, Wait
from simulator.drivers.virtual.loop import VirtualLoop
from simulator.world.keyed import Draw

N = 400_000


def exponential(seed: str, mean_ns: float) -> np.ndarray:
    u = Draw(20_260_517, seed).uniform("gap", np.arange(N))
    return np.rint(-np.log1p(-u) * mean_ns).astype(np.int64)


def mean_wait(arrivals: np.ndarray, services: np.ndarray, cores: int) -> float:
    """Mean time from arrival to start of service, in the order in which the CPU is asked."""
    loop = VirtualLoop()
    cpu = VirtualCpu(loop, cores)
    total = 0
    for arrival, service in zip(arrivals.tolist(), services.tolist(), strict=True):
        loop.now_ns = arrival
        total += cpu.finish_ns(service) - service - arrival
    loop.close()
    return total / len(arrivals)


@pytest.mark.parametrize("rho", [0.5, 0.8])
def test_m_m_1_mean_wait(rho):
    service = 1_000_000.0
    waits = []
    for k in range(4):
        arrivals = np.cumsum(exponential(f"arrivals{k}{rho}", service / rho))
        waits.append(mean_wait(arrivals, exponential(f"services{k}{rho}", service), 1))
    expected = rho / (1 - rho) * service  # Kleinrock, Queueing Systems I (1975), eq. 3.26: W = rho / (mu (1 - rho))
    assert np.mean(waits) == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("rho", [0.5, 0.8])
def test_m_d_4_mean_wait(rho):
    service, cores = 1_000_000, 4
    waits = []
    for k in range(4):
        arrivals = np.cumsum(exponential(f"d-arrivals{k}{rho}", service / rho / cores))
        waits.append(mean_wait(arrivals, np.full(N, service), cores))
    assert np.mean(waits) == pytest.approx(m_d_c_wait(rho, cores) * service, rel=0.03)


def m_d_c_wait(rho: float, c: int) -> float:
    """Exact mean wait of M/D/c in units of the service time (Crommelin 1932), k up to 1,500.

    W = sum over k >= 1 of exp(-k c rho) * (S(kc) - S(kc + 1) / rho), S(m) = sum over j >= m of (k c rho)^j / j!.
    """
    total = 0.0
    for k in range(1, 1500):
        a = k * c * rho
        terms = poisson_tail(a, k * c), poisson_tail(a, k * c + 1)
        total += terms[0] - terms[1] / rho
    return total


def poisson_tail(a: float, n: int) -> float:
    """P(Poisson(a) >= n)."""
    log_term = n * math.log(a) - a - math.lgamma(n + 1)
    term, total, j = math.exp(log_term), 0.0, n
    while term > 1e-18 * max(total, 1e-300) and j < n + 10_000:
        total += term
        j += 1
        term *= a / j
    return total


def test_crommelin_reduces_to_pollaczek_khinchine_for_one_server():
    # The oracle itself, checked: M/D/1 has W = rho / (2 (1 - rho)).
    for rho in (0.3, 0.5, 0.8):
        assert m_d_c_wait(rho, 1) == pytest.approx(rho / (2 * (1 - rho)), rel=1e-6)


def test_the_queue_is_seen_from_inside_the_task():
    loop = VirtualLoop()
    cpu = VirtualCpu(loop, 1)
    done = []

    async def request(name):
        await Wait(loop, cpu.finish_ns(10))
        done.append((name, loop.now_ns))

    for name, at in (("a", 0), ("b", 3), ("c", 40)):
        loop.post(at, lambda n: loop.start_now(request(n)), name)
    loop.run_until(1000)
    loop.close()
    assert done == [("a", 10), ("b", 20), ("c", 50)]


def test_what_waits_when_a_pause_begins_is_done_so_much_later_and_so_is_what_comes_meanwhile():
    loop = VirtualLoop()
    cpu = VirtualCpu(loop, 1)
    assert [cpu.finish_ns(10), cpu.finish_ns(10)] == [10, 20]
    loop.now_ns = 5
    cpu.pause(100)
    assert cpu.finish_ns(10) == 130  # behind the two that now end at 110 and 120
    loop.now_ns = 1000
    assert cpu.finish_ns(10) == 1010
    loop.close()


MS = 1_000_000


def test_a_quota_is_spent_in_periods_by_all_cores_together_and_ends_when_it_was_to():
    quota = Quota(1000 * MS, 2000 * MS, 0.3)
    assert quota.finish_ns(900 * MS, 50 * MS) == 950 * MS  # before it
    assert quota.finish_ns(1000 * MS, 20 * MS) == 1020 * MS
    assert quota.finish_ns(1010 * MS, 20 * MS) == 1110 * MS  # another core finds 10 ms left, and waits for the next
    assert quota.throttled == {0}
    assert quota.finish_ns(1150 * MS, 20 * MS) == 1170 * MS  # a share that is not used up holds nobody up
    assert quota.finish_ns(1900 * MS, 80 * MS) == 2050 * MS  # what is left when it ends is done at full speed
    assert (quota.periods, quota.throttled) == (10, {0, 9})
    quiet = Quota(0, 1000 * MS, 0.3)
    assert [quiet.finish_ns(k * 100 * MS, 5 * MS) for k in range(10)] == [(k * 100 + 5) * MS for k in range(10)]
    assert not quiet.throttled

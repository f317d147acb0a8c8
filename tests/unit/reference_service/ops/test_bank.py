"""A bank of rates is as many detectors: the same alarms at the same looks, and a cost that follows what is new."""

import msgspec
import numpy as np
import pytest

from reference_service.monitor.drift import DriftDetector, look_at_all
from reference_service.monitor.eprocess import RateDetector
from reference_service.monitor.keeping import keep, recall
from reference_service.monitor.rates import bank, detector
from reference_service.policy import Policy

POLICY = Policy()
REFERENCES = (0.0, 0.003, 0.05, 0.2, 0.95)


def looks(seed, n=400):
    """int64[n, 2, d]: calm, an incident in each rate by itself, calm again, and looks without any rows."""
    draw = np.random.default_rng(seed)
    rates = np.array(REFERENCES) * np.ones((n, 1))
    for k in range(len(REFERENCES)):
        begin = draw.integers(20, n // 2)
        rates[begin : begin + draw.integers(1, 60), k] = draw.uniform(0.2, 1.0)
    total = draw.poisson(draw.choice([0.5, 5, 100]), (n, 1)) * np.ones(len(REFERENCES), dtype=int)
    return np.stack([draw.binomial(total, np.minimum(rates, 1.0)), total], axis=1)


def each(excess=POLICY.rate_excess):
    return bank(POLICY, [((k, 1, 2), reference, excess) for k, reference in enumerate(REFERENCES)])


def counted(bad, total):
    """int64[d, 3]: cells of d fields: good ones, bad ones, and some that are neither."""
    return np.stack([total - bad, bad, np.full_like(total, 7)], axis=1)


@pytest.mark.parametrize("seed", range(6))
def test_the_alarms_are_those_of_one_detector_for_each_rate(seed):
    together, apart = each(), [detector(POLICY, reference) for reference in REFERENCES]
    alarms, window, whole = 0, np.zeros((len(REFERENCES), 3), dtype=np.int64), 0
    for k, seen in enumerate(looks(seed)):
        bad, total = seen
        if k == 150:  # over a restart
            kept = msgspec.json.decode(msgspec.json.encode(keep(together)))
            together = each()
            recall(together, kept)
        before = together.firing.copy()
        stirred = together.look(counted(bad, total), window)
        whole += counted(bad, total)
        stands = [one.look(int(b), int(n)) for one, b, n in zip(apart, bad, total, strict=True)]
        assert together.firing.tolist() == stands
        assert stirred == bool(before.any() or any(stands))
        assert together.rates() == pytest.approx([one.rate for one in apart])
        assert together.latest() == pytest.approx([one.latest for one in apart])
        alarms += int((together.firing & ~before).sum())
    assert alarms  # or nothing has been compared
    assert window.tolist() == whole.tolist()


def test_good_news_about_a_rate_that_nothing_is_held_against_is_only_set_down():
    together = each()
    good, bad = np.zeros(len(REFERENCES), dtype=np.int64), np.array([0, 0, 3, 0, 0])
    window = counted(good, good)
    together.look(counted(good, good + 50), window)
    assert not together._logs.any()
    together.look(counted(bad, good + 50), window)
    assert together._logs.any(axis=1).tolist() == [False, False, True, False, False]


def test_windows_judged_together_are_judged_as_each_by_itself():
    draw = np.random.default_rng(3)
    shares = draw.dirichlet(np.ones(14), 6)
    together, apart = ([DriftDetector(POLICY) for _ in shares] for _ in range(2))
    for rows in (10, 999, 5_000, 5_000, 20_000, 20_000):
        moved = draw.dirichlet(np.ones(14), 6)
        moved[:3] = shares[:3]
        counts = np.array([draw.multinomial(rows, p) for p in moved])
        look_at_all(together, shares, 50_000, counts)
        for one, reference, counted in zip(apart, shares, counts, strict=True):
            one.look(reference, 50_000, counted)
        assert [keep(one) for one in together] == [keep(one) for one in apart]
    assert [one.firing for one in together] == [False] * 3 + [True] * 3


def test_the_state_of_the_reference_detector_is_not_taken_for_a_bank():
    """State kept by an earlier release is refused, and monitors start afresh."""
    with pytest.raises((KeyError, TypeError, ValueError)):
        recall(each(), keep(RateDetector(0.1, 0.05, alpha=1e-6, calm_looks=6, calm_rows=10)))

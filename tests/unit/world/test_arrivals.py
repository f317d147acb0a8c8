from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from simulator.scenario.quantities import HOUR, MINUTE, SECOND
from simulator.world.arrivals import DAILY, Pace, daily, paced, replayed
from simulator.world.keyed import Draw
from simulator.world.population import Slice

DRAW = Draw(5, "main")


def times(pace, block=1000, draw=DRAW):
    blocks = list(paced(draw, pace, block))
    index = np.concatenate([b.index for b in blocks])
    np.testing.assert_array_equal(index, np.arange(len(index)))
    return np.concatenate([b.event_ns for b in blocks])


def test_poisson_arrivals_come_at_their_rate_with_exponential_gaps():
    at = times(Pace(50.0, 0, 20 * MINUTE))
    low, high = stats.poisson(50 * 20 * 60).interval(0.999)
    assert low < len(at) < high
    gaps = np.diff(at) / SECOND
    assert stats.kstest(gaps, "expon", args=(0, 1 / 50)).pvalue > 0.001


def test_regular_arrivals_are_equally_far_apart():
    at = times(Pace(4.0, 10 * SECOND, 20 * SECOND, arrivals="regular"))
    assert at[0] == 10 * SECOND + SECOND // 8
    assert len(at) == 40
    assert set(np.diff(at).tolist()) == {SECOND // 4}


def test_arrivals_stay_inside_their_window():
    at = times(Pace(100.0, 3 * MINUTE, 4 * MINUTE))
    assert at[0] >= 3 * MINUTE
    assert at[-1] < 4 * MINUTE
    assert (np.diff(at) >= 0).all()


@pytest.mark.parametrize("rhythm", ["flat", "daily"])
@pytest.mark.parametrize("arrivals", ["poisson", "regular"])
def test_blocks_do_not_matter(rhythm, arrivals):
    pace = Pace(1.0, 0, HOUR, arrivals, rhythm)
    np.testing.assert_array_equal(times(pace, 17), times(pace, 100_000))


@pytest.mark.parametrize("arrivals", ["poisson", "regular"])
def test_a_ramp_grows_from_nothing_linearly_and_then_stays(arrivals):
    start, ramp = 3 * MINUTE, 10 * MINUTE
    pace = Pace(40.0, start, start + 2 * ramp, arrivals, ramp_ns=ramp)
    at = times(pace)
    np.testing.assert_array_equal(at, times(pace, 17))
    quarters = np.bincount((at - start) * 4 // ramp, minlength=8)
    # Of a quarter at full rate: an eighth, three, five, seven eighths, and then all of it.
    np.testing.assert_allclose(quarters / (40 * 150), [0.125, 0.375, 0.625, 0.875, 1, 1, 1, 1], atol=0.05)
    flat = times(Pace(40.0, start, start + 2 * ramp, arrivals))
    assert np.isin(at, flat).all()  # thinned out of the same stream


def test_the_daily_rhythm_keeps_the_mean_and_follows_the_profile():
    assert sum(DAILY) == pytest.approx(24)
    at = times(Pace(2.0, 0, 24 * HOUR, rhythm="daily"))
    low, high = stats.poisson(2 * 24 * 3600).interval(0.999)
    assert low < len(at) < high
    hourly = np.bincount(at // HOUR, minlength=24) / (2 * 3600)
    expected = [(DAILY[h] + DAILY[(h + 1) % 24]) / 2 for h in range(24)]
    np.testing.assert_allclose(hourly, expected, rtol=0.1)


def test_the_profile_is_linear_between_hours_and_periodic():
    assert daily(np.array([0, 24 * HOUR])).tolist() == [DAILY[0], DAILY[0]]
    assert daily(np.array([HOUR // 2]))[0] == pytest.approx((DAILY[0] + DAILY[1]) / 2)
    assert daily(np.array([23 * HOUR + HOUR // 2]))[0] == pytest.approx((DAILY[23] + DAILY[0]) / 2)


def test_streams_are_independent():
    mine, other = times(Pace(50.0, 0, MINUTE)), times(Pace(50.0, 0, MINUTE), draw=Draw(5, "load:x"))
    assert not set(mine.tolist()) & set(other.tolist())


def test_a_record_is_replayed_from_the_start_of_its_first_day():
    blocks = list(replayed(Slice(10, 15, 1000, 2000), np.array([1000, 1100, 1100, 1500, 1999]), 2))
    assert [b.index.tolist() for b in blocks] == [[10, 11], [12, 13], [14]]
    assert [b.event_ns.tolist() for b in blocks] == [[0, 100], [100, 500], [999]]

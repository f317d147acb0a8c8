from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from conftest import CUTS, FIELDS, MINUTE, SECOND, START, LinearBundle
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_service.core.cells import NULL_CELL
from reference_service.monitor.alerts import AlertBook, Condition, fingerprint
from reference_service.monitor.cohorts import Cohorts
from reference_service.monitor.drift import DriftDetector
from reference_service.monitor.eprocess import LossDetector, RateDetector
from reference_service.monitor.inputs import InputMonitors
from reference_service.monitor.rates import detector
from reference_service.monitor.received import Received
from reference_service.policy import Policy

POLICY = Policy()
EVEN = np.full(10, 0.1)


def rate(**changed):
    options = {"tolerated": 0.01, "normal": 0.005, "alpha": 1e-6, "calm_looks": 6, "calm_rows": 10}
    return RateDetector(**(options | changed))


# ---------------------------------------------------------------- rates


def test_a_burst_of_nulls_alarms_at_the_first_look_that_saw_it():
    assert rate().look(100, 100)
    assert rate().look(5, 5)


def test_two_in_a_hundred_alarm_after_a_while_and_one_in_two_hundred_never():
    d = rate()
    assert any(d.look(4, 100) for _ in range(60))
    d = rate()
    assert not any(d.look(k % 2, 100) for k in range(3000))


def test_a_rate_alarm_clears_when_a_minute_is_back_to_normal_and_not_before():
    d = rate()
    assert d.look(100, 100)
    stands = [d.look(0, 100) for _ in range(6)]
    assert stands == [True] * 5 + [False]


def test_silence_is_no_recovery():
    d = rate()
    assert d.look(100, 100)
    assert all(d.look(0, 0) for _ in range(100))


@pytest.mark.parametrize("reference", [0.0, 0.03, 0.5])
def test_false_alarms_stay_below_alpha_per_look_also_at_the_edge_of_what_is_tolerated(reference):
    alpha, looks, runs = 1e-3, 100, 200
    draw = np.random.default_rng(12)
    tolerated = reference * 1.25 + 0.01
    alarms = 0
    for _ in range(runs):
        d = rate(tolerated=tolerated, normal=tolerated / 2, alpha=alpha)
        alarms += any(d.look(int(k), 50) for k in draw.binomial(50, tolerated, looks))
    # Each run is a hundred looks: at most one run in ten may alarm; three standard errors on top.
    assert alarms <= runs * alpha * looks + 3 * math.sqrt(runs * 0.1 * 0.9)


@given(p=st.floats(0.0, 1.0), seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_a_steady_rate_does_not_flap(p, seed):
    """Whatever the rate, at most a few episodes in an hour: hysteresis between tolerated and normal."""
    d = detector(POLICY, 0.0)
    draw = np.random.default_rng(seed)
    states = [d.look(int(k), 100) for k in draw.binomial(100, p, 360)]
    onsets = sum(now and not before for before, now in zip([False, *states], states, strict=False))
    assert onsets <= 3


def test_losses_above_what_is_tolerated_alarm_and_clear():
    d = LossDetector(0.1, 0.05, alpha=1e-6, calm_rows=100)
    assert not d.look([0.05] * 2000)
    assert d.look([0.6] * 100)
    assert d.look([0.01] * 50)
    assert not d.look([0.01] * 100)


def test_losses_at_the_edge_alarm_with_probability_alpha_at_most():
    draw = np.random.default_rng(3)
    alarms = 0
    for _ in range(100):
        d = LossDetector(0.1, 0.05, alpha=1e-4, calm_rows=100)
        alarms += d.look(draw.binomial(1, 0.1, 200).astype(float).tolist())
    assert alarms <= 100 * 200 * 1e-4 + 3 * math.sqrt(2)


# ---------------------------------------------------------------- drift


def look(d, counts, m=50_000):
    return d.look(EVEN, m, np.asarray(counts))


SAME = [120] * 10
MOVED = [300, 240, 180, 120, 120, 90, 60, 40, 30, 20]


def test_two_hot_windows_of_three_page_and_three_calm_ones_clear():
    d = DriftDetector(POLICY)
    assert not look(d, MOVED)
    assert not look(d, SAME)
    assert look(d, MOVED)
    assert [look(d, SAME) for _ in range(3)] == [True, True, False]
    assert d.state == "ok"


def test_one_hot_window_pages_nobody():
    d = DriftDetector(POLICY)
    assert not any(look(d, c) for c in [MOVED, SAME, SAME, SAME, MOVED, SAME, SAME])


def test_a_thin_window_is_insufficient_and_neither_fires_nor_clears():
    d = DriftDetector(POLICY)
    thin = [50, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    assert not any(look(d, thin) for _ in range(10))
    assert d.state == "insufficient"
    assert not look(d, MOVED)
    assert look(d, MOVED)
    assert all(look(d, [5] * 10) for _ in range(10))


def test_a_psi_that_chance_explains_does_not_page():
    d = DriftDetector(POLICY)
    small_reference = 50
    assert not any(look(d, MOVED, m=small_reference) for _ in range(5))
    assert d.psi > POLICY.drift_fire


@given(seed=st.integers(0, 500))
@settings(max_examples=20, deadline=None)
def test_the_reference_itself_never_pages(seed):
    d = DriftDetector(POLICY)
    draw = np.random.default_rng(seed)
    assert not any(look(d, draw.multinomial(1100, EVEN)) for _ in range(30))
    assert d.state == "ok"


def test_a_tiny_shift_in_a_million_rows_does_not_page():
    d = DriftDetector(POLICY)
    counts = [101_000, 100_800, 100_500, 100_200, 100_100, 99_900, 99_800, 99_500, 99_200, 99_000]
    assert not any(look(d, counts) for _ in range(5))


def window(monitors, amounts, start_ns):
    for amount in amounts:
        monitors.received.put([amount, amount, 0.0, 0.0, amount])
    return {(c.name, c.field): c.firing for c in monitors.tick(start_ns)}


def uniform(n=1200):
    return [(k * 0.6180339887498949) % 1 * 100 for k in range(n)]


@given(outlier=st.sampled_from([1e9, -1e9, 1.7e308]))
@settings(max_examples=3, deadline=None)
def test_one_outlier_moves_psi_by_less_than_a_hundredth(outlier):
    def psi(values):
        monitors = InputMonitors(LinearBundle(), POLICY, START)
        window(monitors, values, START + POLICY.window_ns)
        return monitors.view()["amount"]["psi"]

    assert abs(psi([*uniform(), outlier]) - psi(uniform())) < 0.01


def test_nulls_are_told_as_nulls_and_not_as_drift_as_well():
    monitors = InputMonitors(LinearBundle(), POLICY, START)
    for k in range(1, 4):
        now = START + k * POLICY.window_ns
        nulls = [math.nan] * 1200
        standing = window(monitors, [*uniform(), *nulls], now)
        assert standing["null_rate", "amount"]
        assert not standing["feature_drift", "amount"]


def test_drift_beside_nulls_is_still_seen():
    monitors = InputMonitors(LinearBundle(), POLICY, START)
    for k in range(1, 4):
        squeezed = [value / 4 for value in uniform()]
        standing = window(monitors, [*squeezed, *[math.nan] * 1200], START + k * POLICY.window_ns)
    assert standing["feature_drift", "amount"]


def test_the_same_hour_is_the_reference_where_training_saw_enough_of_it():
    bundle = LinearBundle()
    hour = START // (60 * MINUTE) % 24
    bundle.profile.hourly_n[hour] = 10_000
    bundle.profile.hourly_shares[hour] = 0.0
    bundle.profile.hourly_shares[hour, :, 0] = 1.0
    monitors = InputMonitors(bundle, POLICY, START)
    window(monitors, [0.5] * 1200, START + POLICY.window_ns)
    assert monitors.view()["amount"]["psi"] < 0.01


def test_rows_are_counted_in_whichever_pieces_they_come():
    bundle = LinearBundle()
    values = np.array([[v, v, k % 3, k % 2, v] for k, v in enumerate(uniform(20_000))])
    whole = bundle.new_counts()
    bundle.count(values, whole)
    received, total = Received(bundle), bundle.new_counts()
    for k, row in enumerate(values.tolist()):
        received.put(row)
        if k % 3331 == 0:
            total += received.take()
    assert (total + received.take() == whole).all()


def test_what_could_not_be_read_is_not_a_null():
    received = Received(LinearBundle())
    received.put([math.nan] * len(FIELDS))
    received.unread([0])
    counts = received.take()
    assert counts[0, NULL_CELL] == 0
    assert counts[1, NULL_CELL] == 1


def test_the_cells_of_the_fixture_are_those_of_its_reference():
    assert len(CUTS) == 11  # twelve value cells: the fixture would test nothing otherwise


# ---------------------------------------------------------------- alert book


def condition(*, firing, name="null_rate", field="amount"):
    return Condition(name, field, "page", firing=firing, summary="")


@given(states=st.lists(st.booleans(), max_size=60))
@settings(max_examples=60, deadline=None)
def test_an_episode_is_told_once_and_ended_once_and_lasts_its_minimum(states):
    book, told = AlertBook("s", hold_ns=30 * SECOND), []
    for k, firing in enumerate(states):
        told += book.update(k * 10 * SECOND, [condition(firing=firing)])
    assert [note.firing for note in told] == [k % 2 == 0 for k in range(len(told))]
    for opened, closed in zip(told[::2], told[1::2], strict=False):
        assert closed.ends_ns - opened.starts_ns >= 30 * SECOND
        assert closed.starts_ns == opened.starts_ns
    assert len({note.fingerprint for note in told}) <= 1


def test_a_condition_that_stands_is_not_repeated():
    book = AlertBook("s", hold_ns=0)
    assert len(book.update(0, [condition(firing=True)])) == 1
    assert not any(book.update(k, [condition(firing=True)]) for k in range(1, 100))


def test_an_alert_of_a_field_that_is_gone_ends():
    book = AlertBook("s", hold_ns=0)
    book.update(0, [condition(firing=True)])
    assert [note.firing for note in book.update(1, [])] == [False]


def test_fingerprints_tell_services_names_and_fields_apart():
    marks = {fingerprint(s, n, f) for s in "ab" for n in ("x", "y") for f in ("", "amount")}
    assert len(marks) == 8


# ---------------------------------------------------------------- cohorts


def test_early_labels_are_not_looked_at():
    cohorts = Cohorts(horizon_ns=60 * MINUTE, width_ns=MINUTE)
    cohorts.add(START, 0.1, 1, START + MINUTE)
    assert cohorts.quality(START + 60 * MINUTE).n == 0
    later = cohorts.quality(START + 62 * MINUTE)
    assert (later.n, later.positive_rate) == (1, 1.0)
    assert later.brier == pytest.approx(0.81)
    assert later.matured_before_ns <= START + 2 * MINUTE


def test_every_matured_loss_is_judged_once_and_stragglers_only_counted():
    cohorts = Cohorts(horizon_ns=60 * MINUTE, width_ns=MINUTE)
    cohorts.add(START, 1.0, 1, START + MINUTE)
    cohorts.add(START + 5 * MINUTE, 0.0, 1, START + 6 * MINUTE)
    assert cohorts.matured_losses(START + 62 * MINUTE) == [0.0]
    assert cohorts.matured_losses(START + 62 * MINUTE) == []
    cohorts.add(START, 0.5, 1, START + 80 * MINUTE)
    assert cohorts.matured_losses(START + 90 * MINUTE) == [1.0]
    assert cohorts.quality(START + 90 * MINUTE).n == 3


def over_a_weekend():
    """100 decisions of one minute; of their labels the ten positives are there, and after a day the negatives."""
    cohorts = Cohorts(60 * MINUTE, MINUTE, share=0.8, patience_ns=72 * 60 * MINUTE)
    cohorts.decided(START, 100, 0)
    for _ in range(10):
        cohorts.add(START, 0.1, 1, START + MINUTE)
    return cohorts


def test_labels_of_one_outcome_are_not_judged_before_the_others_are_in():
    cohorts = over_a_weekend()
    assert cohorts.matured_losses(START + 24 * 60 * MINUTE) == []
    assert cohorts.quality(START + 24 * 60 * MINUTE).status == "insufficient"
    for k in range(90):
        cohorts.add(START, 0.1, 0, START + 25 * 60 * MINUTE)
        assert not cohorts.matured_losses(START + (1500 + k) * MINUTE) or k >= 69
    known = cohorts.quality(START + 48 * 60 * MINUTE)
    assert (known.n, known.positive_rate) == (100, 0.1)
    assert not cohorts.missing


def test_a_later_cohort_waits_for_an_earlier_one_so_that_what_is_matured_has_one_border():
    cohorts = over_a_weekend()
    cohorts.decided(START + MINUTE, 10, 0)
    for _ in range(10):
        cohorts.add(START + MINUTE, 0.1, 0, START + 2 * MINUTE)
    known = cohorts.quality(START + 62 * MINUTE)
    assert (known.n, known.matured_before_ns) == (0, START - START % MINUTE)


def test_labels_that_never_come_are_given_up_told_and_never_tested():
    cohorts = over_a_weekend()
    assert cohorts.matured_losses(START + 74 * 60 * MINUTE) == []
    known = cohorts.quality(START + 74 * 60 * MINUTE)
    assert (known.n, known.coverage, cohorts.missing) == (10, 0.1, True)
    at = START + 75 * 60 * MINUTE
    cohorts.decided(at, 1, 0)
    cohorts.add(at, 0.1, 0, at)
    assert cohorts.matured_losses(at + 62 * MINUTE) == pytest.approx([0.01])
    assert not cohorts.missing


def test_a_minute_that_is_complete_by_chance_does_not_end_the_alert_that_labels_are_missing():
    cohorts, stands = Cohorts(60 * MINUTE, MINUTE, share=0.8, patience_ns=72 * 60 * MINUTE), []
    begun = START - START % MINUTE
    for k in range(60):
        cohorts.decided(begun + k * MINUTE, 1, 0)
        if k % 2:
            cohorts.add(begun + k * MINUTE, 0.1, 0, begun + k * MINUTE)
    for k in range(73 * 60, 73 * 60 + 150):
        now = begun + k * MINUTE
        cohorts.decided(now, 1, 0)
        cohorts.add(now, 0.1, 0, now)
        cohorts.matured_losses(now)
        stands.append(cohorts.missing)
    assert sum(a != b for a, b in itertools.pairwise(stands)) == 2  # it began once, and ended once
    assert not stands[-1]


def test_refusals_have_no_label_and_nobody_waits_for_it():
    cohorts = Cohorts(60 * MINUTE, MINUTE, share=0.8, patience_ns=72 * 60 * MINUTE)
    cohorts.decided(START, 100, 50)
    for _ in range(50):
        cohorts.add(START, 0.1, 0, START + MINUTE)
    assert len(cohorts.matured_losses(START + 62 * MINUTE)) == 50


def test_losses_that_come_together_are_weighed_together_whatever_their_order():
    """Labels of cases that people looked into come first, and their losses are larger."""
    rng = np.random.default_rng(11)
    losses = np.concatenate([rng.uniform(0.2, 0.6, 40), rng.uniform(0, 0.02, 400)])
    for order in (losses, losses[::-1], rng.permutation(losses)):
        d = LossDetector(0.07, 0.05, alpha=1e-7, calm_rows=100)
        assert not d.look(order)
        assert d.look(np.full(40, 0.5))  # harm is harm

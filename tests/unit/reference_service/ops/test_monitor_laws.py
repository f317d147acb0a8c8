"""What a monitor has to be able to promise: silence at a known price, power where it matters, and no false certainty.

The numbers in the names are those of the list that these laws come from; each law is shown on the code that serves.
"""

from __future__ import annotations

import dataclasses
import math

import msgspec
import numpy as np
import pytest
from conftest import MINUTE, SECOND, START, LinearBundle
from scipy.stats import norm

from reference_service.core.cells import N_CELLS, QUANTILES, psi, quantile_cuts
from reference_service.monitor.alerts import AlertBook
from reference_service.monitor.cohorts import Cohorts
from reference_service.monitor.drift import DriftDetector, chance
from reference_service.monitor.eprocess import LossDetector, RateDetector
from reference_service.monitor.inputs import InputMonitors
from reference_service.monitor.received import Received
from reference_service.monitor.scores import ScoreMonitor
from reference_service.policy import Policy
from reference_service.training.validate import calibrate

POLICY = Policy()
SHARES = LinearBundle().profile.cell_shares
M = 50_000  # rows of the reference
FEATURES = {
    "normal": lambda draw, n: draw.normal(size=n),
    "lognormal": lambda draw, n: draw.lognormal(sigma=1.5, size=n),
    "zero_inflated": lambda draw, n: np.where(draw.random(n) < 0.6, 0.0, draw.exponential(size=n)),
    "thousand_levels": lambda draw, n: draw.integers(0, 1000, n).astype(float),
}


def cells_of(values, cuts):
    return np.bincount(np.searchsorted(cuts, values), minlength=12)


def law(feature, draw):
    """The cells' probabilities of a feature whose cuts were taken from a reference."""
    cuts = quantile_cuts(FEATURES[feature](draw, M))
    return cells_of(FEATURES[feature](draw, 1_000_000), cuts) / 1_000_000


@pytest.mark.parametrize("n", [100, 1_000, 10_000, 100_000])
@pytest.mark.parametrize("feature", FEATURES)
def test_1_false_alarms_of_one_check_come_at_the_rate_that_was_asked_for(feature, n):
    draw = np.random.default_rng(7)
    p, alpha, runs = law(feature, draw), 0.01, 20_000
    references, counts = draw.multinomial(M, p, size=runs) / M, draw.multinomial(n, p, size=runs)
    rate = (psi(references, M, counts) > chance(references, M, counts, alpha)).mean()
    error = 3.3 * math.sqrt(alpha * (1 - alpha) / runs)  # sixteen intervals at once, hence 99.9 %
    assert rate <= alpha + error
    # With few rows to a cell chi-square overstates chance: cautious. At a hundred nobody is paged anyway.
    assert rate >= {100: 0.0, 1_000: alpha / 2}.get(n, alpha - error)


def test_2_the_budget_of_a_month_is_one_false_page_at_most():
    fields, month = 20, 30 * 24 * 60 * MINUTE
    rates = 2 * fields + 10  # null and unseen, and those of what is answered
    looks = rates * month / POLICY.tick_ns + fields * month / POLICY.window_ns
    assert looks * POLICY.alpha <= 1.5  # alpha bounds the rate at the very edge of what is tolerated; see benchmarks
    # A drift page needs two hot windows of three, each with an effect that chance never has at a thousand rows.
    draw = np.random.default_rng(1)
    index = psi(np.full(12, 1 / 12), M, draw.multinomial(POLICY.drift_rows, np.full(12, 1 / 12), size=50_000))
    assert index.max() < POLICY.drift_fire


@pytest.mark.parametrize("reference_rows", [5_000, 500_000])
def test_3_the_time_to_a_false_alarm_is_one_over_alpha_looks_at_least_whatever_the_reference(reference_rows):
    alpha, draw, horizon = 1e-2, np.random.default_rng(5), 400
    times = []
    for _ in range(150):
        estimated = draw.binomial(reference_rows, 0.03) / reference_rows
        tolerated = estimated * POLICY.rate_factor + POLICY.rate_excess
        detector = RateDetector(tolerated, tolerated / 2, alpha=alpha, calm_looks=6, calm_rows=10)
        looks = draw.binomial(200, 0.03 * POLICY.rate_factor + POLICY.rate_excess, horizon).tolist()
        times.append(next((t for t, bad in enumerate(looks, 1) if detector.look(bad, 200)), horizon))
    within = np.mean(np.array(times) < 1 / alpha)
    assert within <= 0.2  # the distribution, not only its mean: an alarm within the first 100 looks is rare
    assert np.mean(times) >= 1 / alpha


def test_5_the_same_trace_gives_the_same_alarms_and_shards_add_up_to_the_stream():
    bundle, draw = LinearBundle(), np.random.default_rng(2)
    rows = np.column_stack([draw.uniform(0, 100, (5_000, 2)), draw.integers(0, 3, 5_000), draw.integers(0, 2, 5_000),
                            draw.uniform(0, 100, 5_000)])  # fmt: skip
    whole, left, right = (Received(bundle) for _ in range(3))
    for k, row in enumerate(rows.tolist()):
        whole.put(row)
        (left if k % 3 else right).put(row)
    assert (whole.take() == left.take() + right.take()).all()

    def alarms():
        monitors = InputMonitors(bundle, POLICY, START)
        return [firing(monitors, k, table(1500 if k > 20 else 0, k)) for k in range(60)]

    assert alarms() == alarms() != [[]] * 60


def firing(monitors, k, counts):
    """What stands after the k-th tick."""
    return [(c.name, c.field) for c in monitors.look(counts, START + k * POLICY.tick_ns) if c.firing]


def table(shifted, seed):
    """Counts of one tick of the fixture's fields; `shifted` rows of amount gather in one cell."""
    draw, counts = np.random.default_rng(seed), np.zeros((5, N_CELLS), dtype=np.int64)
    for index, shares in enumerate(SHARES):
        counts[index] = draw.multinomial(2000, shares)
    counts[0, 3] += shifted
    return counts


@pytest.mark.parametrize(("shift", "n", "power"), [(0.2, 1_750, 0.95), (0.1, 10_000, 0.99), (0.05, 100_000, 0.99)])
def test_6_a_shift_is_evident_at_a_millionth(shift, n, power):
    cuts, draw = norm.ppf(QUANTILES), np.random.default_rng(11)
    before, after = (np.diff([0.0, *norm.cdf(cuts - moved), 1.0]) for moved in (0.0, shift))
    references, counts = draw.multinomial(M, before, size=10_000) / M, draw.multinomial(n, after, size=10_000)
    found = psi(references, M, counts) > chance(references, M, counts, 1e-6)
    assert found.mean() >= power


def test_7_a_real_and_tiny_shift_is_shown_and_pages_nobody():
    draw = np.random.default_rng(3)
    cuts = quantile_cuts(draw.normal(size=M))
    reference = cells_of(draw.normal(size=1_000_000), cuts) / 1_000_000
    detector = DriftDetector(POLICY)
    fired = [detector.look(reference, 1_000_000, cells_of(draw.normal(0.02, size=1_000_000), cuts)) for _ in range(4)]
    assert not any(fired)
    assert detector.state == "shifted"


def test_7_the_same_on_a_hundred_seeds():
    """Counts of the cells of a million rows are multinomial, so the rows need not be drawn."""
    cuts = norm.ppf(QUANTILES)
    before, after = (np.diff([0.0, *norm.cdf(cuts - moved), 1.0]) for moved in (0.0, 0.02))
    for seed in range(100):
        draw, detector = np.random.default_rng(seed), DriftDetector(POLICY)
        reference, window = (draw.multinomial(1_000_000, shares) for shares in (before, after))
        assert not any(detector.look(reference / 1_000_000, 1_000_000, window) for _ in range(4))
        assert detector.state == "shifted"


@pytest.mark.parametrize(("shifted", "told_of"), [(450, False), (3_000, True)])
def test_a_field_with_seasons_has_a_threshold_of_its_own(shifted, told_of):
    """PSI of .19, then of 1.2; the policy's threshold is .1 and the field's .25. The season says nothing of others."""
    amount, *others = LinearBundle().contract.fields
    seasonal = LinearBundle(fields=(msgspec.structs.replace(amount, drift_fire=0.25), *others))
    for bundle, expected in ((seasonal, told_of), (LinearBundle(), True)):
        monitors = InputMonitors(bundle, POLICY, START)
        stands = {each for k in range(1, 60) for each in firing(monitors, k, table(shifted, k))}
        assert (("feature_drift", "amount") in stands) == expected


def test_8_one_outlier_moves_no_score_by_a_hundredth_of_itself():
    draw = np.random.default_rng(4)
    cuts = quantile_cuts(draw.normal(size=M))
    reference, values = cells_of(draw.normal(size=M), cuts) / M, draw.normal(1.0, size=10_000)
    with_it = cells_of(np.append(values, 1e9), cuts)
    before, after = psi(reference, M, cells_of(values, cuts)), psi(reference, M, with_it)
    assert abs(after / before - 1) < 0.01


@pytest.mark.parametrize("share", [0.015, 0.05])
def test_9_a_little_mass_that_goes_to_the_far_tail_is_told_where_psi_is_blind(share):
    draw, bundle = np.random.default_rng(6), LinearBundle()
    monitors, told = InputMonitors(bundle, POLICY, START), []
    for k in range(1, 60):
        counts = table(0, k)
        moved = draw.binomial(counts[0].sum(), share)
        counts[0, 4] -= moved
        counts[0, 11] += moved
        told += [(c.name, c.field) for c in monitors.look(counts, START + k * POLICY.tick_ns) if c.firing]
    assert told[0] == ("tail_rate", "amount")
    assert share > 0.02 or set(told) == {("tail_rate", "amount")}  # five percent are no secret to PSI here either


def test_9_an_ordinary_day_has_no_heavy_tail():
    monitors = InputMonitors(LinearBundle(), POLICY, START)
    for k in range(1, 400):
        assert not [c for c in monitors.look(table(0, k), START + k * POLICY.tick_ns) if c.firing]


def test_11_a_late_batch_is_counted_in_its_own_window_and_in_no_other():
    monitors = InputMonitors(LinearBundle(), POLICY, START)
    for k in range(1, 13):
        monitors.look(table(0, k), START + k * POLICY.tick_ns)
    on_time = monitors.windows()[0]
    assert monitors.late(START + MINUTE, [[99.5, 1.0, 0.0, 0.0, 1.0]] * 5_000)
    late = monitors.windows()[0]
    assert late["rows"] == on_time["rows"] + 5_000
    assert late["psi"]["amount"] > 0.1 > on_time["psi"]["amount"]
    for k in range(13, 25):
        assert not [c for c in monitors.look(table(0, k), START + k * POLICY.tick_ns) if c.firing]
    assert not monitors.late(START + 4 * MINUTE + 1, [[1.0] * 5])  # that window is still open
    assert monitors.late(START - 60 * MINUTE, [[1.0] * 5])  # before anything that is remembered
    assert monitors.late_rows == 5_001


def test_13_concept_drift_is_found_in_labelled_events_and_inputs_have_no_part_in_it():
    draw = np.random.default_rng(8)
    detector = LossDetector(0.05 * 1.25 + 0.01, 0.06, alpha=POLICY.alpha, calm_rows=POLICY.loss_rows)
    assert not detector.look(draw.beta(1, 19, 20_000).tolist())  # mean .05: as in training
    worse = draw.beta(3, 17, 3_000).tolist()  # mean .15
    delay = next(k for k in range(1, 3_000) if detector.look(worse[k - 1 : k]))
    assert delay < 1_000


def matured_days(means, block_ns):
    """Losses as they matured, of days of 500 labels each, with these mean losses; restarted in the middle of it all."""
    cohorts = Cohorts(60 * MINUTE, MINUTE, block_ns)
    found, begin = [], START - START % DAY
    for k, mean in enumerate(means):
        for i in range(500):
            at = begin + k * DAY + i * DAY // 500
            cohorts.add(at, mean**0.5, 0, at)
            if i % 100 == 0:
                found += cohorts.matured_losses(at)
        kept = msgspec.json.decode(msgspec.json.encode(cohorts.keep()))
        cohorts = Cohorts(60 * MINUTE, MINUTE, block_ns)
        cohorts.recall(kept)
    return found + cohorts.matured_losses(begin + len(means) * DAY + 60 * MINUTE)


def test_a_day_that_errs_together_is_one_loss_and_row_by_row_a_false_alarm():
    """One storm, with many times the usual loss, after five usual days."""
    means = [0.05] * 5 + [0.4] + [0.05] * 2
    by_day = matured_days(means, DAY)
    assert by_day == pytest.approx(means[:-1])  # the last day is not over yet
    for losses, alarms in ((by_day, False), (matured_days(means, 0), True)):
        detector = LossDetector(0.05 * 1.25 + 0.01, 0.06, alpha=POLICY.alpha, calm_rows=7)
        assert any(detector.look([loss]) for loss in losses) == alarms


def test_15_a_drifted_window_never_becomes_the_reference():
    bundle = LinearBundle()
    before = bundle.profile.cell_shares.copy()
    monitors = InputMonitors(bundle, POLICY, START)
    stands = [("feature_drift", "amount") in firing(monitors, k, table(3_000, k)) for k in range(1, 400)]
    assert (bundle.profile.cell_shares == before).all()
    assert all(stands[60:])  # after an hour it is as wrong as in its first minutes


def restart(monitors):
    kept = msgspec.json.decode(msgspec.json.encode(monitors.keep()))
    again = InputMonitors(LinearBundle(), POLICY, START + 60 * MINUTE)
    again.recall(kept)
    return again


@pytest.mark.parametrize("at", [7, 20, 31, 100])
def test_15_a_restart_changes_nothing(at):
    def states(restarted):
        monitors, found = InputMonitors(LinearBundle(), POLICY, START), []
        for k in range(1, 160):
            if restarted and k == at:
                monitors = restart(monitors)
            found.append(
                [c[:4] for c in monitors.look(table(1_500 if 15 < k < 60 else 0, k), START + k * POLICY.tick_ns)]
            )
        return found

    assert states(restarted=True) == states(restarted=False)


def test_15_what_is_kept_of_another_bundle_is_not_believed():
    old = InputMonitors(LinearBundle("v0"), POLICY, START)
    for k in range(1, 40):
        old.look(table(1_500, 1), START + k * POLICY.tick_ns)
    new = InputMonitors(LinearBundle("v1"), POLICY, START)
    new.recall(msgspec.json.decode(msgspec.json.encode(old.keep())))
    assert not [c for c in new.look(table(0, 1), START + POLICY.tick_ns) if c.firing]


def episodes(fires):
    """(found, false): episodes with at least one alarm in them, and onsets outside. Drift in hours 1 and 3 of 4."""
    true = [range(360, 720), range(1080, 1440)]
    onsets = [k for k in range(1440) if fires(k) and not (k and fires(k - 1))]
    slack = [range(each.start, each.stop + 60) for each in true]
    return sum(any(fires(k) for k in each) for each in true), sum(not any(k in each for each in slack) for k in onsets)


def test_17_it_beats_alarms_that_look_at_nothing():
    monitors = InputMonitors(LinearBundle(), POLICY, START)
    shifts = [1_500 if 360 <= k < 720 or k >= 1080 else 0 for k in range(1440)]
    stands = [bool(firing(monitors, k + 1, table(shift, k))) for k, shift in enumerate(shifts)]
    assert episodes(stands.__getitem__) == (2, 0)
    assert episodes(lambda _: True) == (2, 1)  # always: also when nothing is the matter
    assert episodes(lambda _: False) == (0, 0)
    assert episodes(lambda k: k % 100 == 0)[1] > 5  # every so often


# ---------------------------------------------------------------- labels


DAY = 24 * 60 * MINUTE


def outcome_dependent(draw, n, rate=0.237):
    """(when, score, label, arrival): bad outcomes take longer to be known, as a flight that is late does."""
    score = draw.beta(2, 2 * (1 - rate) / rate, n)
    label = (draw.random(n) < score).astype(int)
    delay = np.where(label == 1, draw.lognormal(5.4, 0.3, n), draw.lognormal(4.7, 0.4, n)) * MINUTE
    when = np.sort(draw.integers(0, 2 * DAY, n)) + START
    return when, score, label, when + delay.astype(np.int64)


def test_12_matured_and_weighted_quality_are_right_within_a_point_and_the_naive_estimate_is_not():
    draw = np.random.default_rng(9)
    when, score, label, arrival = outcome_dependent(draw, 30_000)
    cohorts, now = Cohorts(10 * 60 * MINUTE, 5 * MINUTE), START + DAY + 12 * 60 * MINUTE
    for k in np.argsort(arrival):
        if arrival[k] <= now:
            cohorts.add(int(when[k]), float(score[k]), int(label[k]), int(arrival[k]))
            if k % 500 == 0:
                cohorts.matured_losses(int(arrival[k]))
    known = cohorts.quality(now)
    old = when < known.matured_before_ns
    assert known.status == "matured"
    assert known.positive_rate == pytest.approx(label[old].mean(), abs=0.01)
    assert known.brier == pytest.approx(((score - label) ** 2)[old].mean(), abs=0.01)
    young = (when >= known.matured_before_ns) & (when < now - 90 * MINUTE)
    assert known.weighted.status == known.naive.status == "provisional"
    assert known.weighted.positive_rate == pytest.approx(label[young].mean(), abs=0.01)
    assert abs(known.naive.positive_rate - label[young].mean()) > 0.01


def censored(share):
    """Quality where refusals (scores from .6) get no label, but for a random share that was allowed."""
    draw = np.random.default_rng(10)
    cohorts = Cohorts(60 * MINUTE, MINUTE)
    score = draw.beta(1, 3, 40_000)
    label = (draw.random(40_000) < score * 0.5 + 0.4 * (score > 0.6)).astype(int)
    refused = score >= 0.6
    allowed = refused & (draw.random(40_000) < share)
    for k in range(40_000):
        at = START + k * SECOND // 10
        if k % 100 == 0:
            cohorts.decided(at, 100, int(refused[k : k + 100].sum()))
        if not refused[k] or allowed[k]:
            cohorts.add(at, float(score[k]), int(label[k]), at + MINUTE, propensity=share if allowed[k] else 1.0)
    return cohorts.quality(START + DAY), ((score - label) ** 2).mean(), label.mean()


def test_14_where_refusals_hide_the_truth_there_is_no_number():
    known, _, _ = censored(0.0)
    assert known.status == "unidentifiable"
    assert known.brier is known.positive_rate is known.naive.brier is known.weighted.brier is None


def test_14_a_random_slice_of_refusals_recovers_it():
    known, brier, rate = censored(0.1)
    assert known.status == "matured"
    assert known.brier == pytest.approx(brier, abs=0.01)
    assert known.positive_rate == pytest.approx(rate, abs=0.01)


def test_14_refusals_that_get_their_labels_hide_nothing():
    cohorts = Cohorts(60 * MINUTE, MINUTE)
    cohorts.decided(START, 1_000, 50)
    for k in range(1_000):
        cohorts.add(START, 0.2, 0, START + MINUTE, refused=k < 50)
    assert cohorts.quality(START + DAY).status == "matured"


def test_cohorts_survive_a_restart():
    draw = np.random.default_rng(12)
    when, score, label, arrival = outcome_dependent(draw, 2_000)
    order = np.argsort(arrival)

    def known(restarted):
        cohorts = Cohorts(10 * 60 * MINUTE, 5 * MINUTE)
        for i, k in enumerate(order):
            if restarted and i == 1_200:
                kept = msgspec.json.decode(msgspec.json.encode(cohorts.keep()))
                cohorts = Cohorts(10 * 60 * MINUTE, 5 * MINUTE)
                cohorts.recall(kept)
            cohorts.add(int(when[k]), float(score[k]), int(label[k]), int(arrival[k]))
            cohorts.decided(int(arrival[k]), 1, 0)
            if i % 100 == 0:
                cohorts.matured_losses(int(arrival[k]))
        return cohorts.quality(START + DAY), cohorts.matured_losses(START + 3 * DAY)

    assert known(restarted=True) == known(restarted=False)


def test_quality_without_labels_is_right_while_the_calibration_holds_and_never_called_verified():
    draw = np.random.default_rng(13)
    score = draw.beta(1, 6, 60_000)
    label = (draw.random(60_000) < score**1.3).astype(int)  # not calibrated, as models are
    cuts, rates = calibrate(label[:30_000], score[:30_000])
    assert (np.diff(rates) >= 0).all()
    profile = dataclasses.replace(LinearBundle().profile, calibration_cuts=cuts, calibration=rates)
    monitor = ScoreMonitor(profile, POLICY)
    later, truth = score[30_000:], label[30_000:]
    for part in np.array_split(later, 7):
        monitor.add(part.tolist())
    monitor.close()
    estimate = monitor.estimate
    assert estimate.status == "unverified"
    assert estimate.n == 30_000
    assert estimate.brier == pytest.approx(((later - truth) ** 2).mean(), abs=0.003)
    assert estimate.positive_rate == pytest.approx(truth.mean(), abs=0.005)
    # The label rule turns: the estimate cannot know, which is why it is not believed.
    assert abs(estimate.brier - ((later - (1 - truth)) ** 2).mean()) > 0.3
    monitor.close()
    assert monitor.estimate.brier is None


def test_18_what_is_remembered_does_not_grow_with_what_was_seen():
    monitors, book = InputMonitors(LinearBundle(), POLICY, START), AlertBook("s", 0)
    sizes = []
    for k in range(1, 1_500):
        book.update(k, monitors.look(table(1_500 if k % 200 > 100 else 0, k % 50), START + k * POLICY.tick_ns))
        if k in {700, 1_499}:
            sizes.append(len(msgspec.json.encode([monitors.keep(), book.keep()])))
    assert sizes[1] < sizes[0] * 1.2


def test_what_comes_late_does_not_move_a_window_that_has_been_judged():
    """Windows of too few rows are measured when somebody asks, and say what they would have said at once."""
    monitors = InputMonitors(LinearBundle(), POLICY, START)
    few = table(0, 1) * 0
    few[:, 5] = 3
    for k in range(1, 13):
        monitors.look(few, START + k * POLICY.tick_ns)
    at_once = monitors.windows()[0]["psi"]
    assert monitors.late(START + MINUTE, [[99.5, 1.0, 0.0, 0.0, 1.0]] * 5_000)
    assert monitors.windows()[0]["psi"] != at_once
    assert {name: field["psi"] for name, field in monitors.view().items()} == at_once

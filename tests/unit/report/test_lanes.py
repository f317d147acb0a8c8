"""Histories reduced to lanes: counted against the obvious count."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.history.schema import Outcome
from simulator.report.lanes import MAX_BUCKETS, bucket_width, lanes
from simulator.scenario.quantities import HOUR, MINUTE, SECOND


@pytest.mark.parametrize(
    ("end", "width"),
    [(90 * MINUTE, 15 * SECOND), (6 * HOUR, MINUTE), (SECOND, 5_000_000), (1, 1_000_000), (400 * 24 * HOUR, 48 * HOUR)],
)
def test_buckets_are_round_and_few(end, width):
    assert bucket_width(end) == width
    assert -(-end // width) <= MAX_BUCKETS


def test_traffic_and_shares_agree_with_counting(run):
    seen = lanes(run)
    at, bucket = run.items["scheduled_ns"], 301  # inside the spike
    inside = (at >= bucket * seen.bucket_ns) & (at < (bucket + 1) * seen.bucket_ns)
    assert seen.traffic.values[bucket] == inside.sum() / 15
    shed = next(s for s in seen.troubles if s.name == "shed")
    assert shed.values[bucket] == (run.items["outcome"][inside] == int(Outcome.SHED)).mean() > 0
    assert np.nansum([s.values for s in seen.sources], axis=0) == pytest.approx(1.0)
    assert seen.traffic.values.sum() * 15 == pytest.approx(len(run))


def test_a_canary_shows_for_as_long_as_it_served(run):
    v2 = next(s for s in lanes(run).versions if s.name == "v2")
    served = np.flatnonzero(v2.values > 0) * 15 * SECOND
    assert served.min() >= 65 * MINUTE
    assert served.max() < 69 * MINUTE


def test_routes_of_one_alert_make_one_episode(run):
    seen = [(e.name, e.field, e.onset_ns) for e in lanes(run).alerts]
    assert seen[0] == ("feature_drift", "amount", 34 * MINUTE + 10 * SECOND)
    assert len(seen) == 3


def test_labels_only_ever_arrive(run):
    everything, touched = lanes(run).labels
    due = run.items["label_due_ns"] != -1
    assert everything.values[-1] == (run.items["label_ns"][due] != -1).mean()
    assert (np.diff(everything.values) >= 0).all()
    assert touched.values[0] == 0.0


def test_an_empty_bucket_has_no_share(make_history):
    run = make_history(minutes=60, rate=1)
    quiet = (run.items["scheduled_ns"] < 5 * MINUTE) | (run.items["scheduled_ns"] >= 10 * MINUTE)
    thin = type(run)(run.header, {k: v[quiet] for k, v in run.items.items()}, (), (), ())
    seen = lanes(thin)
    gap = slice(5 * MINUTE // seen.bucket_ns, 10 * MINUTE // seen.bucket_ns)
    assert np.isnan(seen.sources[0].values[gap]).all()
    assert (seen.traffic.values[gap] == 0).all()


def test_a_run_without_anything_is_empty_lanes(make_history):
    run = make_history(minutes=10)
    none = type(run)(run.header, {k: v[:0] for k, v in run.items.items()}, (), (), ())
    seen = lanes(none)
    assert (seen.items, seen.versions, seen.alerts, seen.psi, seen.labels) == (0, (), (), (), ())

"""Three weeks of the replayed year of `benchmarks.flights_year`, with the storms of April in them."""

from __future__ import annotations

import pytest

from benchmarks import flights_year


@pytest.fixture(scope="module")
def april():
    return flights_year.replay("2013-04-08", 3)


def test_matured_quality_is_the_truth_every_week_and_the_early_labels_are_not(april):
    weeks, _, _ = april
    assert [week.start for week in weeks] == ["2013-04-08", "2013-04-15", "2013-04-22"]
    for week in weeks:
        assert week.matured_n > 0.99 * week.n > 6_000
        assert week.miss <= flights_year.WITHIN
        assert week.naive_rate < week.young_rate - 3 * flights_year.WITHIN


def test_storms_page_nobody(april):
    _, alerts, pages = april
    assert pages == []
    assert not {key for key in alerts if key[0] == "page"}


def test_truths_that_are_reversed_do_page():
    _, alerts, pages = flights_year.replay("2013-04-01", 2, reversed_share=1.0)
    assert ("page", "concept_drift", "") in alerts
    assert pages[0] < 7

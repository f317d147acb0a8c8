"""Errors by group: each beside all others, with bounds that hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from histories import edited, judged
from specimens import where, wronged

from simulator.checks import statistics
from simulator.checks.statistics import difference, wilson
from simulator.verdict import Status

IT = {"group_errors": {"of": "false_positive", "gap": "20%"}}


def test_the_group_that_is_wronged_is_named_with_its_numbers():
    finding = judged(IT, wronged(60))
    assert finding.status is Status.FAIL
    assert finding.why.startswith("99% sure that about east it is wrong more often by at least ")
    assert finding.witnesses[0].startswith("east: 290 of 450, 64.4%; all others 11.1% of 450")


def test_between_the_limits_it_is_open():
    finding = judged(IT, wronged(30))
    assert finding.status is Status.UNKNOWN
    assert "anything from" in finding.why


def test_a_small_group_leaves_it_open_unless_another_is_wronged():
    assert "of north there are under 100 rows" in judged(IT, wronged(15, few=60)).why
    assert judged(IT, wronged(60, few=60)).status is Status.FAIL


def test_refusals_and_rows_without_truth_are_no_trials():
    found = wronged(60)
    gone = edited(found, truth=where(np.arange(1800) % 4 == 0, -1, "truth", found))
    assert judged(IT, gone).status is Status.UNKNOWN
    assert "of west there are under 100 rows of known truth, or of all others" in judged(IT, gone).why


def test_false_negatives_are_approvals_of_positives():
    it = {"group_errors": {"of": "false_negative", "gap": "20%"}}
    index, found = np.arange(1800), wronged(60)
    found = edited(found, segment=np.where(index < 900, "east", "west").astype(object))
    assert judged(it, found).status is Status.PASS  # every positive is approved, everywhere
    caught = (index % 2 == 1) & (index < 600)
    finding = judged(it, edited(found, decision=where(caught, "block", "decision", found)))
    assert finding.observed == "66.7% about west, 450 of 450"


def test_a_decision_that_nobody_ever_gets_is_misspelt():
    it = {"group_errors": {"of": "false_negative", "gap": "20%", "approve": "approved"}}
    assert "no answer of this run or its twin was `approved`" in judged(it, wronged(60)).why


def test_rows_of_real_time_are_not_independent():
    found = wronged(15)
    live = replace(found, main=replace(found.main, header=replace(found.main.header, driver="live")))
    assert judged(IT, found).status is Status.PASS
    assert judged(IT, live).status is Status.UNKNOWN


@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    [((56, 70), (48, 80), 0.0524, 0.3339), ((9, 10), (3, 10), 0.1705, 0.8090), ((10, 10), (0, 20), 0.6791, 1.0)],
)
def test_bounds_of_a_difference_are_the_published_ones(monkeypatch, one, other, low, high):
    monkeypatch.setattr(statistics, "_Z", 1.959964)  # Newcombe 1998, table II, is at 95 % on both sides
    assert difference(one, other) == pytest.approx((low, high), abs=5e-5)


def test_wilsons_bounds_cover_as_promised():
    draw, share, n = np.random.default_rng(1), 0.05, 400
    counts = draw.binomial(n, share, 4000)
    bounds = {k: wilson(int(k), n) for k in set(counts.tolist())}
    missed = np.mean([bounds[k][0] > share for k in counts.tolist()])
    assert missed < 0.02
    assert wilson(0, 0) == (0.0, 1.0)

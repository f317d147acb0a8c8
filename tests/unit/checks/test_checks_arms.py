"""Two versions side by side: customers are the sample, and who meets both belongs to no arm."""

from __future__ import annotations

import numpy as np
from histories import N, edited, evidence, judged
from specimens import beside

from simulator.history.schema import Source
from simulator.verdict import Status

IT = {"better": {"version": "v2", "than": "v1", "by": 0.01}}
WHEN = [{"event": "e", "at": "10m", "release": {"version": "v2", "by": "ab", "share": 0.5}}]


def found(it, given):
    return judged(it, given, when=WHEN)


def test_the_gain_and_its_bounds_are_those_of_the_customers_means():
    finding = found(IT, beside(0.3))
    assert finding.status is Status.PASS
    assert finding.observed.startswith("Brier 0.09")
    assert finding.interval[0] < 0.45**2 - 0.3**2 < finding.interval[1]
    assert finding.witnesses == ("v2: 600 rows of 200 customers", "v1: 1200 rows of 400 customers")


def test_no_difference_proves_nothing_and_the_worse_is_refused():
    assert found(IT, beside(0.45)).status is Status.FAIL  # surely not better by .01
    nothing = found({"better": {"version": "v2", "than": "v1"}}, beside(0.45))
    assert nothing.status is Status.UNKNOWN
    assert "anything from" in nothing.why
    assert found(IT, beside(0.6)).status is Status.FAIL


def test_rows_of_one_customer_are_not_as_many_proofs():
    """The same losses, each customer's all alike: as sure as one row a customer, and not three times as sure."""
    given, draw = beside(0.3), np.random.default_rng(1)
    truth, customer = given.main.items["truth"], np.arange(N) // 3
    off = draw.uniform(0, 1, N)
    alone = edited(given, score=np.where(truth == 1, 1 - off, off), entity=np.arange(N))
    together = off[3 * customer]
    alike = edited(given, score=np.where(truth == 1, 1 - together, together))
    narrow, wide = found(IT, alone).interval, found(IT, alike).interval
    assert 1.6 < (wide[1] - wide[0]) / (narrow[1] - narrow[0]) < 1.85  # √3


def test_who_meets_both_is_left_out_and_many_of_them_leave_nothing_to_compare():
    given = beside(0.3)
    version = given.main.items["version"].copy()
    version[900] = "v1" if version[900] == "v2" else "v2"
    one = found(IT | {"better": IT["better"] | {"min_customers": 100}}, edited(given, version=version))
    assert one.status is Status.PASS
    assert one.n == N - 3
    some = slice(900, 900 + N // 20, 3)
    version[some] = np.where(version[some] == "v2", "v1", "v2")
    many = found(IT, edited(given, version=version))
    assert many.status is Status.UNKNOWN
    assert "were answered by both versions" in many.why


def test_a_version_that_falls_back_where_it_is_hard_is_no_better_for_it():
    """Its bad answers count, whoever gave them; and so do those that were never given."""
    given = beside(0.45)
    hard = np.flatnonzero((given.main.items["version"] == "v2") & (np.arange(N) // 3 % 4 == 0))
    score, source = given.main.items["score"].copy(), given.main.items["source"].copy()
    score[hard], source[hard] = 1.0 - given.main.items["truth"][hard], Source.FALLBACK
    assert found(IT, edited(given, score=score, source=source)).status is Status.FAIL
    score[hard] = np.nan
    mute = found(IT, edited(given, score=score))
    assert mute.status is Status.UNKNOWN
    assert "have no score" in mute.why


def test_it_takes_customers_whose_truth_is_known_and_an_answer_of_the_model():
    assert "one arm answered 20 customers, under 200" in found(IT, beside(0.3, arms=0.05)).why
    given = beside(0.3)
    assert found(IT, edited(given, truth=np.full(N, -1))).status is Status.UNKNOWN
    assert found(IT, evidence()).status is Status.UNKNOWN

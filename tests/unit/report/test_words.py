"""The words of a verdict: headlines never flatter, numbers keep four digits."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.report import words
from simulator.verdict import Control, Status, Verdict


def test_a_harness_fault_is_never_certified(verdict):
    green = verdict.cells[1]
    assert words.headline(green) == "CERTIFIED"
    faulty = replace(green, harness_fault="the clock went backwards")
    assert words.headline(faulty) == "INCONCLUSIVE"
    assert words.headline(Verdict((green, faulty))) == "INCONCLUSIVE"
    assert [r.why for r in words.reasons(Verdict((faulty,)))] == ["the harness failed: the clock went backwards"]


def test_a_fault_does_not_hide_a_failure(verdict):
    assert words.headline(replace(verdict.cells[0], harness_fault="boom")) == "REFUSED"


def test_counts_leave_out_what_is_zero(verdict):
    assert words.counts(verdict) == "3 cells · 1 pass · 1 FAIL · 1 UNKNOWN · 1 warning"
    assert words.counts(Verdict(verdict.cells[1:2])) == "1 cell · 1 pass"


def test_failures_come_before_what_is_unknown_and_warnings_are_no_reason(verdict):
    reasons = list(words.reasons(Verdict(tuple(reversed(verdict.cells)))))
    assert [(r.judged.id, r.status) for r in reasons] == [
        ("contained", Status.FAIL), ("lossless", Status.UNKNOWN), ("cleared", Status.UNKNOWN),
    ]  # fmt: skip
    assert reasons[0].where == "scenarios/unit_change.scenario.yaml:35"


def test_a_cell_without_a_gate_says_so(verdict):
    warns = tuple(replace(j, gating=False) for j in verdict.cells[1].judged)
    (reason,) = words.reasons(Verdict((replace(verdict.cells[1], judged=warns),)))
    assert reason.why == "no expectation gates this scenario"


def test_a_green_that_was_never_seen_red_names_the_control(verdict):
    lossless = verdict.cells[2].judged[0]
    assert words.why(lossless) == "it holds, but it was not seen red: no control of grade W, S was tried"
    stubborn = replace(lossless, controls=(Control("T", "one more", Status.FAIL, Status.PASS),), required=("T",))
    assert "T control “one more” wanted fail, got pass" in words.why(stubborn)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.012345678, "0.01235"),
        (1234.5, "1,234"),
        (1_234_567.0, "1,234,567"),
        (100.0, "100"),
        (0.00005, "5e-05"),
        (0.0, "0"),
        (-2.5, "-2.5"),
        (math.inf, "∞"),
        (math.nan, "-"),
    ],
)
def test_numbers_have_four_significant_digits(value, shown):
    assert words.number(value) == shown


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.floats(min_value=1e-4, max_value=9e14))
def test_a_number_is_off_by_less_than_its_fourth_digit(value):
    assert float(words.number(value).replace(",", "")) == pytest.approx(value, rel=5.01e-4)


def test_margin_is_a_signed_percentage_of_the_limit(verdict):
    finding = verdict.cells[0].judged[0].finding
    assert words.margin(finding) == "+48%"
    assert words.margin(replace(finding, margin=-0.53)) == "-53%"
    assert words.margin(replace(finding, margin=None)) == "-"
    assert words.margin(replace(finding, margin=-math.inf)) == "-∞"


def test_recheck_names_the_first_expectation_that_changed(verdict):
    assert words.difference(verdict, verdict) == ""
    cell = verdict.cells[0]
    changed = replace(cell.judged[2], finding=replace(cell.judged[2].finding, status=Status.PASS, observed="99.2%"))
    now = Verdict((replace(cell, judged=(*cell.judged[:2], changed, *cell.judged[3:])), *verdict.cells[1:]))
    said = words.difference(verdict, now)
    assert said == "unit_change[factor=100]: contained was fail (91.4%), is pass (99.2%)"
    assert "3 cells then, 2 now" in words.difference(verdict, Verdict(verdict.cells[:2]))


def test_a_replay_tells_another_plan_from_another_history(verdict):
    cell = verdict.cells[0]
    assert words.divergence(cell, cell) == ""
    assert "another plan" in words.divergence(cell, replace(cell, plan_digest="0"))
    assert "another target" in words.divergence(cell, replace(cell, run_id="0", evidence={}))
    other = replace(cell, evidence=cell.evidence | {"main": "0"})
    assert words.divergence(cell, other) == "the same plan, another history: main"

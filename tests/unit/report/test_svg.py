"""SVG primitives: escaped, finite, small."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.report.svg import Scale, area, element, label, staircase, ticks
from simulator.scenario.quantities import HOUR, MINUTE


def test_text_and_attributes_are_escaped():
    assert label("<b>&", 1, 2, class_='a"b') == '<text x="1" y="2" class="a&quot;b">&lt;b&gt;&amp;</text>'
    assert element("rect", rx=None, stroke_width=1.25) == '<rect stroke-width="1.2"/>'


def test_a_scale_keeps_everything_on_the_axis():
    scale = Scale(100, 10.0, 50.0)
    assert [scale.x(at) for at in (-5, 0, 50, 100, 1000)] == [10, 10, 35, 60, 60]


def test_equal_neighbours_share_a_step_and_nan_is_a_gap():
    xs, ys = np.array([0.0, 1, 2, 3, 4, 5]), np.array([5.0, 5.0, 2.0, np.nan, 7.0])
    assert area(xs, ys, 9.0) == "M0 9V5H2V2H3V9ZM4 9V7H5V9Z"
    assert staircase(xs, ys) == "M0 5V5H2V2H3M4 7V7H5"


def test_only_gaps_draw_nothing():
    assert area(np.arange(4.0), np.full(3, np.nan), 1.0) == ""


def test_an_infinite_coordinate_is_refused():
    with pytest.raises(ValueError, match="finite"):
        staircase(np.array([0.0, np.inf]), np.array([1.0]))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.integers(1, 10**18))
def test_ticks_start_at_zero_stay_inside_and_are_few(end):
    at = ticks(end)
    assert at[0] == 0
    assert at[-1] <= end
    assert len(at) <= 11
    assert len({b - a for a, b in pairwise(at)}) <= 1


def test_ticks_are_hours_and_minutes():
    assert ticks(90 * MINUTE)[1] == 10 * MINUTE
    assert ticks(7 * 24 * HOUR)[1] == 24 * HOUR

"""What the terminal shows: the reasons stand there, colour is only colour."""

from __future__ import annotations

import re

from simulator.report import text
from simulator.verdict import Verdict


def test_colour_changes_nothing_but_colour(verdict):
    plain, colored = text.render(verdict), text.render(verdict, color=True)
    assert "\x1b" not in plain
    assert "\x1b[31;1m" in colored
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == plain


def test_it_starts_with_the_headline_and_ends_with_how_to_reproduce(verdict):
    lines = text.render(verdict).splitlines()
    assert lines[0] == "REFUSED  3 cells · 1 pass · 1 FAIL · 1 UNKNOWN · 1 warning"
    assert lines[-1] == "reproduce: seatrial replay 7f3a2c91d0e4"


def test_every_expectation_has_its_row_and_every_reason_its_sentence(verdict):
    shown = text.render(verdict)
    for line in (33, 34, 35, 36, 39):
        assert f"scenarios/unit_change.scenario.yaml:{line}" in shown
    assert "why: 1,031 of 12,004 touched items were answered as if nothing had happened" in shown
    assert "remedy: check the route that alerts take" in shown
    assert "- main/24113 at 40m02s: silent, score 0.31, twin 0.07" in shown


def test_columns_stay_aligned_when_a_cell_wraps(verdict):
    table = [line for line in text.render_cell(verdict.cells[0]).splitlines() if ".scenario.yaml:" in line]
    assert len({line.index("scenarios/") for line in table}) == 1


def test_nothing_judged_is_not_green():
    shown = text.render(Verdict(()))
    assert shown.startswith("INCONCLUSIVE")
    assert "nothing was judged" in shown


def test_a_certified_verdict_needs_no_replay(verdict):
    assert "reproduce" not in text.render(Verdict(verdict.cells[1:2]))

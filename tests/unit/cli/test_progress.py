"""Progress: one live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io

import pytest

from simulator.events import RunInterrupted
from simulator.report.progress import listener
from simulator.verdict import CellVerdict

VERDICT = CellVerdict("s", "t", "p", {}, 1, "x", (), {}, "", "r")


@pytest.fixture
def events(engine):
    return (
        engine.RunStarted("s", "main"), engine.RunProgress("s", "main", 0.5), engine.RunStarted("s", "twin"),
        engine.RunFinished("s", "main", 1.25), engine.CellJudged(VERDICT),
    )  # fmt: skip


def said(events, *, live: bool, cells: int = 2) -> str:
    stream = io.StringIO()
    listen = listener(stream, cells=cells, live=live)
    for event in events:
        listen(event)
    return stream.getvalue()


def test_plain_lines_say_what_is_done(events):
    assert said(events, live=False) == "s main: ran in 1.2s\nINCONCLUSIVE s (1/2)\n"


def test_the_live_line_is_wiped_before_it_changes(events):
    shown = said(events, live=True)
    assert shown.count("\r\x1b[2K") == len(events)
    assert "0/2 judged  ██████████··········  50%  s main" in shown
    assert "s main and 1 more" in shown
    assert shown.count("\n") == 1


def test_nothing_is_left_behind_when_all_is_judged(events):
    assert said(events, live=True, cells=1).endswith("INCONCLUSIVE s (1/1)\n")


@pytest.mark.parametrize("live", [False, True])
def test_whoever_is_impatient_is_told_what_a_run_is_doing(engine, live):
    events = [engine.RunStarted("s", "main"), *[RunInterrupted("s", "main")] * 2]
    assert said(events, live=live).count("interrupted: s main puts right what it has broken, and ends\n") == 2

"""Annotations point at lines; nothing of the input becomes a command or a table cell of its own."""

from __future__ import annotations

from dataclasses import replace

from simulator.report import github
from simulator.verdict import Verdict


def test_one_error_per_reason_at_its_line(verdict):
    lines = github.annotations(verdict)
    assert [line.partition(" ")[0] for line in lines] == ["::error"] * 3 + ["::warning"]
    assert lines[0] == (
        "::error file=scenarios/unit_change.scenario.yaml,line=35,"
        "title=REFUSED%3A unit_change[factor=100]%3A contained::"
        "1,031 of 12,004 touched items were answered as if nothing had happened"
    )


def test_a_line_break_cannot_start_a_command_of_its_own(verdict):
    cell = verdict.cells[0]
    finding = replace(cell.judged[2].finding, why="100%\n::warning::forged")
    lines = github.annotations(Verdict((replace(cell, judged=(replace(cell.judged[2], finding=finding),)),)))
    assert len(lines) == 1
    assert lines[0].endswith("::100%25%0A::warning::forged")


def test_no_more_annotations_than_are_shown(verdict):
    assert len(github.annotations(Verdict(verdict.cells * 12))) == 20


def test_the_summary_leads_with_failures_and_keeps_its_tables(verdict):
    cell = replace(verdict.cells[0], title="a | b <img>")
    shown = github.summary(Verdict((verdict.cells[1], cell)))
    assert shown.startswith("## REFUSED")
    assert shown.index("### REFUSED") < shown.index("### CERTIFIED")
    assert "a \\| b &lt;img>" in shown


def test_a_huge_summary_is_cut(verdict):
    shown = github.summary(Verdict(verdict.cells * 800))
    assert len(shown.encode()) < 1_024 * 1_024
    assert shown.endswith("(cut here; the rest is in report.html)\n")

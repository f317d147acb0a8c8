"""JUnit: failures, errors and counts as continuous integration reads them."""

from __future__ import annotations

from dataclasses import replace
from xml.etree.ElementTree import fromstring

from simulator.report import junit
from simulator.verdict import Verdict


def test_fail_is_a_failure_unknown_an_error_a_warning_neither(verdict):
    root = fromstring(junit.render(verdict))  # noqa: S314 - our own output
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("7", "1", "2")
    case = {c.get("name"): c for c in root.iter("testcase")}
    assert case["contained"].find("failure").get("message").startswith("1,031 of 12,004")
    assert (case["contained"].get("line"), case["contained"].get("classname")) == ("35", "unit_change[factor=100]")
    assert case["cleared"].find("error").get("type") == "unknown"
    assert case["quick"].find("failure") is None
    assert case["quick"].find("error") is None
    assert case["quick"].find("system-out").text.startswith("warning (fail): ")
    assert case["lossless"].find("error") is not None
    assert [child.tag for child in case["paged"]] == ["system-out"]


def test_a_cell_that_judged_nothing_is_an_error(verdict):
    empty = replace(verdict.cells[1], judged=(), harness_fault="the run died")
    root = fromstring(junit.render(Verdict((empty,))))  # noqa: S314 - our own output
    assert (root.get("tests"), root.get("errors")) == ("1", "1")
    assert root.find(".//error").get("type") == "harness-fault"


def test_text_that_xml_cannot_hold_does_not_break_the_file(verdict):
    nasty = replace(verdict.cells[0], title="a \x00 \x1b[31m < & ]]> \ud800 title")
    root = fromstring(junit.render(Verdict((nasty,))))  # noqa: S314 - our own output
    assert "< & ]]>" in root.find(".//property[@name='title']").get("value")


def test_same_verdict_same_bytes(verdict):
    assert junit.render(verdict) == junit.render(verdict)

"""The page: complete without script or network, small, the same bytes, nothing of the input becomes markup."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from simulator.report import html
from simulator.report.lanes import lanes
from simulator.report.limits import limits
from simulator.verdict import Verdict


class Page(HTMLParser):
    """Tags and attributes; complains about what does not close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes something else"


@pytest.fixture(scope="module")
def pictures(run):
    return {name: lanes(run) for name in ("7f3a2c91d0e4", "aa11bb22cc33", "dd44ee55ff66")}


@pytest.fixture
def page(verdict, pictures):
    return html.render(verdict, pictures)


def test_every_element_is_closed_and_nothing_is_fetched_or_run(page):
    parsed = Page(page)
    assert parsed.open == []
    assert {tag for tag, _ in parsed.tags} & {"script", "link", "iframe", "img", "object", "use", "image"} == set()
    for _, attributes in parsed.tags:
        assert "src" not in attributes
        assert attributes.get("href", "#").startswith("#")
        assert not any(name.startswith("on") for name in attributes)
    assert re.search(r"url\(|@import|https?:", page) is None


def test_every_link_leads_somewhere(page):
    tags = Page(page).tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {a["href"][1:] for _, a in tags if "href" in a} <= set(ids)


def test_verdict_then_why_then_the_picture(page):
    order = [
        page.index(part) for part in ("REFUSED</p>", ">Why<", "1,031 of 12,004", ">Cells<", "<svg", "does not prove")
    ]
    assert order == sorted(order)
    assert "seatrial replay 7f3a2c91d0e4" in page


def test_what_is_not_green_is_open_and_first_what_is_green_is_folded(page):
    cells = [a for tag, a in Page(page).tags if tag == "details" and "cell" in (a.get("class") or "").split()]
    assert [(a["class"], "open" in a) for a in cells] == [
        ("cell fail", True), ("cell unknown", True), ("cell pass", False),
    ]  # fmt: skip


def test_all_lanes_are_drawn(page):
    for lane in ("events", "expectations", "alerts", "versions", "PSI", "answers from", "trouble", "traffic", "labels"):
        assert f'class="lane">{lane}</text>' in page
    assert page.count("<svg") == 3


def test_no_number_is_missing_or_endless(page):
    body = page[page.index("<body") :]
    assert re.search(r"\b(nan|NaN|inf|None)\b", body) is None
    assert re.search(r"\b0\.0*[1-9]\d{4,}|[1-9]\.\d{4,}", body) is None


def test_same_input_same_bytes(verdict, pictures, page):
    assert html.render(verdict, pictures) == page


def test_twelve_noisy_cells_stay_below_a_megabyte(make_cell, make_history):
    noisy = lanes(make_history(noisy=True, minutes=90))
    cells = tuple(make_cell(cell={"factor": i}, run_id=f"{i:012x}") for i in range(12))
    page = html.render(Verdict(cells), {cell.run_id: noisy for cell in cells})
    assert page.count("<svg") == 12
    assert len(page.encode()) < 1_000_000


def test_nothing_of_the_input_becomes_markup(verdict, make_history):
    attack = '"><script>alert(1)</script>{{ 7*7 }}'
    cell = verdict.cells[0]
    evil = replace(
        cell, scenario=attack, title=attack, path=attack, target=attack, cell={"x": attack}, harness_fault=attack,
        judged=tuple(
            replace(j, text=attack, finding=replace(j.finding, observed=attack, limit=attack, why=attack))
            for j in cell.judged
        ),
    )  # fmt: skip
    run = make_history()
    events = tuple(replace(event, name=attack, detail=attack) for event in run.events)
    alerts = tuple(replace(alert, name=attack, field=attack) for alert in run.alerts)
    run.items["version"][run.items["version"] == "v2"] = attack
    page = html.render(
        Verdict((evil,)), {evil.run_id: lanes(type(run)(run.header, run.items, alerts, events, run.notes))}
    )
    assert "<script" not in page
    assert "49" not in re.findall(r"script&gt;(\d+)", page)
    assert Page(page).open == []


def test_a_cell_without_history_says_so(verdict):
    page = html.render(verdict, {})
    assert "No history at hand" in page
    assert "<svg" not in page
    assert "were not at hand when this was written" in page


def test_an_empty_verdict_is_a_page_too():
    page = html.render(Verdict(()), {})
    assert "INCONCLUSIVE" in page
    assert "Nothing was judged" in page


def test_limits_are_said_from_the_verdict(verdict, pictures):
    said = " ".join(limits(verdict, pictures))
    assert "Latencies are simulated" in said
    assert "3 of 7 expectations were seen red only" in said
    # Nothing failed in 2,514 chances: 1 - 0.01^(1/2514).
    assert "early in unit_change[factor=100] with n = 2,514: a failure rarer than 0.183%" in said
    assert "2 expectations could not be decided" in said
    assert "Latencies are simulated" not in " ".join(limits(verdict, {}))

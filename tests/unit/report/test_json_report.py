"""verdict.json loses nothing, is the same bytes each time, and its derived answers are never believed."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.report.json_ import from_json, to_json
from simulator.verdict import CellVerdict, Control, Finding, Judged, Status, Verdict

NUMBERS = st.floats(allow_nan=False)
TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
STATUS = st.sampled_from(Status)
GRADE = st.sampled_from(["T", "W", "S"])
NS = st.integers(0, 2**62)
FINDINGS = st.builds(
    Finding, STATUS, TEXT, TEXT, TEXT, TEXT, st.integers(0, 2**40), st.none() | st.tuples(NUMBERS, NUMBERS),
    st.none() | NUMBERS, st.none() | st.tuples(NS, NS), st.lists(TEXT, max_size=2).map(tuple),
)  # fmt: skip
JUDGED = st.builds(
    Judged, TEXT, TEXT, st.booleans(), FINDINGS,
    st.lists(st.builds(Control, GRADE, TEXT, STATUS, STATUS, TEXT), max_size=3).map(tuple),
    st.lists(GRADE, max_size=3).map(tuple), st.integers(0, 10_000), TEXT,
)  # fmt: skip
SCALARS = TEXT | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()
CELLS = st.builds(
    CellVerdict, TEXT, TEXT, TEXT, st.dictionaries(TEXT, SCALARS, max_size=3), st.integers(0, 2**63 - 1), TEXT,
    st.lists(JUDGED, max_size=3).map(tuple), st.dictionaries(TEXT, TEXT, max_size=2), TEXT, TEXT, TEXT, TEXT,
)  # fmt: skip


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(CELLS, max_size=2).map(tuple).map(Verdict))
def test_nothing_is_lost(verdict):
    data = to_json(verdict)
    back = from_json(data)
    assert back == verdict
    assert to_json(back) == data
    assert [type(v) for c in back.cells for v in c.cell.values()] == [
        type(v) for c in verdict.cells for v in c.cell.values()
    ]


def test_readers_find_the_answers_written_out(verdict):
    document = json.loads(to_json(verdict))
    assert (document["status"], document["exit_code"]) == ("fail", 1)
    assert [cell["status"] for cell in document["cells"]] == ["fail", "pass", "unknown"]
    assert document["cells"][0]["name"] == "unit_change[factor=100]"
    assert (
        document["cells"][2]["judged"][0] | {"status": "unknown", "seen_red": False}
        == (document["cells"][2]["judged"][0])
    )


def test_a_forged_answer_is_not_believed(verdict):
    document = json.loads(to_json(verdict))
    document |= {"status": "pass", "exit_code": 0}
    for cell in document["cells"]:
        cell["status"] = "pass"
        for judged in cell["judged"]:
            judged["status"] = "pass"
    assert from_json(json.dumps(document).encode()).status is Status.FAIL


def test_a_number_that_json_lacks_survives(make_cell, make_judged):
    finding = Finding(Status.FAIL, "≤ 0%", "3%", margin=-math.inf, interval=(0.0, math.inf))
    cell = make_cell("s", make_judged("a", finding))
    assert from_json(to_json(Verdict((cell,)))).cells[0].judged[0].finding == finding


@pytest.mark.parametrize("data", [b"{}", b"[]", b"nonsense", b'{"verdict": 2, "cells": []}', b'{"verdict": 1}'])
def test_something_else_is_refused(data):
    with pytest.raises(ValueError):  # noqa: PT011 - the library's own message varies
        from_json(data)

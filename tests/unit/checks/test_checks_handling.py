"""S8: the fate of a touched row, and harm to an untouched one, one case after the other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from histories import columns, evidence, judged, record, run

from simulator.checks.handling import Handling, handling
from simulator.history.schema import Outcome, Source
from simulator.verdict import Status

GOOD = 0.7  # what the clean twin answers
OK, REJECT, ERROR = int(Outcome.OK), int(Outcome.REJECT), int(Outcome.ERROR)
MODEL, DEFAULT, FALLBACK, REJECTED = (int(s) for s in (Source.MODEL, Source.DEFAULT, Source.FALLBACK, Source.REJECTED))


def fate(twin=None, **row) -> Handling:
    main = run(columns(1, **row))
    clean = None if twin == "absent" else run(columns(1, **({"score": GOOD} | (twin or {}))), role="twin")
    clean = clean or run(columns(0), role="twin")
    return Handling(int(handling(evidence(main), clean, np.array([0])).fate[0]))


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"outcome": REJECT, "score": np.nan}, Handling.REJECTED),
        ({"source": REJECTED, "score": np.nan}, Handling.REJECTED),
        ({"source": DEFAULT, "score": 0.2}, Handling.DEFAULTED),
        ({"source": DEFAULT, "score": 0.2, "reasons": "null:amount"}, Handling.DEFAULTED),
        ({"source": FALLBACK, "score": 0.2}, Handling.FELL_BACK),
        ({"source": DEFAULT, "score": np.nan}, Handling.SILENT),
        ({"source": FALLBACK, "score": np.inf}, Handling.SILENT),
        ({"score": GOOD}, Handling.REPAIRED),
        ({"score": GOOD, "source": int(Source.CACHE)}, Handling.REPAIRED),
        ({"score": GOOD + 1e-6}, Handling.SILENT),
        ({"score": np.nan}, Handling.SILENT),
        ({"score": 0.2, "source": int(Source.NONE)}, Handling.SILENT),
        ({"outcome": ERROR}, Handling.CRASHED),
        ({"outcome": int(Outcome.UNPARSEABLE)}, Handling.CRASHED),
        ({"outcome": int(Outcome.SHED)}, Handling.LOST),
        ({"outcome": int(Outcome.TIMEOUT)}, Handling.LOST),
        ({"outcome": int(Outcome.RESET)}, Handling.LOST),
        ({"outcome": int(Outcome.MISSING)}, Handling.LOST),
    ],
)
def test_fates(row, expected):
    assert fate(**row) is expected


def test_a_row_that_is_always_answered_by_the_default_declares_nothing_today():
    always = {"source": DEFAULT, "reasons": "unseen:country"}
    assert fate(always, **always, score=0.2) is Handling.SILENT
    assert fate(always, source=DEFAULT, reasons="null:amount", score=0.2) is Handling.DEFAULTED
    assert fate(always, **always, score=GOOD) is Handling.REPAIRED


def test_nobody_knows_what_a_row_without_a_twin_should_have_been():
    assert fate("absent", score=0.2) is Handling.UNKNOWN
    assert fate({"outcome": ERROR}, score=0.2) is Handling.UNKNOWN
    assert fate({"outcome": REJECT}, score=0.2) is Handling.SILENT
    assert fate("absent", outcome=REJECT) is Handling.REJECTED


def test_a_duplicate_is_compared_with_the_original():
    main = run(columns(2, index=np.array([0, 0]), copy=np.array([0, 1]), score=GOOD))
    clean = run(columns(1, score=GOOD), role="twin")
    assert handling(evidence(main), clean, np.arange(2)).fate.tolist() == [Handling.REPAIRED] * 2


def test_rows_are_joined_by_key_and_not_by_position():
    main = run(columns(50))
    shuffled = {name: column[::-1].copy() for name, column in columns(50).items()}
    fates = handling(evidence(main), run(shuffled, role="twin"), np.arange(50)).fate
    assert set(fates.tolist()) == {Handling.REPAIRED}


def test_only_what_was_really_changed_has_to_be_handled():
    touched = np.where((np.arange(1800) >= 600) & (np.arange(1800) < 1200), np.uint64(1), np.uint64(0))
    potent = np.where(np.arange(1800) % 2 == 0, touched, np.uint64(0))
    main = run(columns(touched=touched, potent=potent), events=(record(potent=300),))
    finding = judged({"handled": {"by": ["repair"], "min": "95%"}, "of": "e"}, evidence(main))
    assert (finding.status, finding.n) == (Status.PASS, 300)


HARMED = {"harmed": {"max": "1%"}}
UNTOUCHED = np.arange(1800) >= 1700


@pytest.mark.parametrize(
    ("name", "value", "harm"),
    [
        ("score", 0.0123, True),
        ("decision", "block", True),
        ("outcome", REJECT, True),
        ("outcome", ERROR, True),
        ("score", np.nan, True),
        ("version", "v9", False),
        ("source", int(Source.CACHE), False),
        ("replied_ns", 10**15, False),
        ("reasons", "whatever", False),
    ],
)
def test_harm_is_another_reply(name, value, harm):
    found = evidence()
    column = found.main.items[name].copy()
    column[UNTOUCHED] = value
    main = replace(found.main, items={**found.main.items, name: column})
    assert judged(HARMED, replace(found, main=main)).status is (Status.FAIL if harm else Status.PASS)


def test_what_the_twin_failed_to_answer_is_no_reference():
    found = evidence()
    outcome = found.twin.items["outcome"].copy()
    outcome[UNTOUCHED] = ERROR
    failed = replace(found.twin, items={**found.twin.items, "outcome": outcome})
    finding = judged(HARMED, replace(found, twin=failed, aa=replace(failed, header=found.aa.header)))
    assert (finding.status, finding.n) == (Status.PASS, 1100)
    assert "100 not comparable" in finding.observed
    outcome[: 1800 // 3] = ERROR
    finding = judged(HARMED, replace(found, twin=failed, aa=replace(failed, header=found.aa.header)))
    assert finding.status is Status.UNKNOWN
    assert finding.why.startswith("twin: only")

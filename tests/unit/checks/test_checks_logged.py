"""The decision log beside the replies: what counts as a record, and what cannot be judged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from histories import END, edited, judged
from specimens import SPECIMENS, again, sealed, where, written

from simulator.history import append, digest
from simulator.history.schema import Note, Outcome
from simulator.verdict import Status

IT = {"logged": {}}


def with_log(found, lines):
    return replace(found, main=replace(found.main, log=tuple(lines)))


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda records: records[1:], "not in the log"),
        (lambda records: [records[0], *records], "2 records of 1 deliveries"),
        (lambda records: [records[0] | {"score": 0.5}, *records[1:]], "the log says score 0.5"),
        (lambda records: [records[1], records[0], *records[2:]], "after that of a later request"),
    ],
)
def test_a_record_that_is_not_as_it_should_be(edit, said):
    finding = judged(IT, written(edit))
    assert finding.status is Status.FAIL
    assert said in finding.why


def test_a_broken_chain_proves_itself_also_in_a_run_that_is_in_doubt():
    found = written()
    lines = [*found.main.log]
    lines[3] = lines[3].replace(b"approve", b"disable")
    lame = replace(found.main, notes=(*found.main.notes, Note(0, "harness", {"fault": "?"})), log=tuple(lines))
    finding = judged(IT, replace(found, main=lame))
    assert finding.status is Status.FAIL
    assert "block 1 is not what its seal says" in finding.why


def test_a_retry_may_have_been_decided_twice_and_a_lost_reply_once():
    twice = written(lambda records: [records[0], *records])
    assert judged(IT, edited(twice, attempts=where(np.arange(1800) == 0, 2, "attempts", twice))).status is Status.PASS
    lost = where(np.arange(1800) == 0, int(Outcome.RESET), "outcome", twice)
    assert judged(IT, edited(written(), outcome=lost)).status is Status.PASS


def test_what_is_asked_again_under_a_key_is_not_decided_again():
    found = again()
    first = np.flatnonzero(found.main.items["copy"] == 0)
    named = found.main.items["index"][first].tolist()
    decided = [
        {"seq": 0, "id": f"main-{index}", "row": 0, "score": float(found.main.items["score"][i])}
        for i, index in zip(first, named, strict=True)
    ]
    asked = int(found.main.items["index"][-1])
    told = (*found.main.notes, Note(END, "log", {"why": ""}))

    def on(records):
        log = sealed(records)
        found_on = replace(found, main=replace(found.main, log=log, notes=told))
        return judged(IT, found_on, when=SPECIMENS["idempotent"].when)

    assert on(decided).status is Status.PASS
    twice = [one for one in decided for _ in range(1 + (one["id"] == f"main-{asked}"))]
    finding = on(twice)
    assert finding.status is Status.FAIL
    assert "2 records of 1 deliveries" in finding.why


def test_no_log_or_not_all_of_it_is_unknown():
    finding = judged(IT, SPECIMENS["logged"].unknown)
    assert finding.status is Status.UNKNOWN
    assert "unsupported" in finding.why
    found = written()
    broken = replace(found.main, notes=(*found.main.notes, Note(0, "log", {"why": "/log answered 503"})))
    assert "answered 503" in judged(IT, replace(found, main=broken)).why


def test_a_log_of_other_peoples_requests_proves_nothing():
    finding = judged(IT, written(lambda records: [one | {"id": "somebody"} for one in records]))
    assert finding.status is Status.UNKNOWN
    assert "none of its records" in finding.why


def test_without_seals_numbers_still_show_a_gap():
    found = written()
    plain = [line for line in found.main.log if b'"block"' not in line]
    assert judged(IT, with_log(found, plain)).status is Status.PASS
    del plain[900]
    assert judged(IT, with_log(found, plain)).status is Status.FAIL


def test_the_digest_covers_the_log(tmp_path):
    found = written().main
    writer = append.Writer(tmp_path)
    writer.logged(found.log)
    assert tuple(pq.read_table(tmp_path / append.LOG).column("line").to_pylist()) == found.log
    other = replace(found, log=(b"x", *found.log[1:]))
    assert len({digest(found), digest(other), digest(replace(found, log=None))}) == 3

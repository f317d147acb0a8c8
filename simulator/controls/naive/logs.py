"""The decision log, read line by line beside the replies."""

from __future__ import annotations

import hashlib
import json
from math import isfinite
from typing import Any

from simulator.controls.naive.book import Book, Row
from simulator.controls.naive.court import Court, Doubt, Opinion, must
from simulator.controls.naive.premises import notes, sent, sound
from simulator.controls.naive.shares import poll
from simulator.controls.naive.windows import rows_of, when
from simulator.history.schema import Outcome
from simulator.scenario.model import Expectation, Scenario
from simulator.verdict import Status


def logged(expectation: Expectation, scenario: Scenario, court: Court) -> Opinion:
    """equal: a record of each answer, no more than deliveries, in order, in a log that is whole."""
    run = court.main
    window = when(expectation, scenario, run)
    whys = [data["why"] for data in notes(run, "log")]
    must(run.log is not None and bool(whys) and not any(whys), "no log")
    records, whole = ledger(run.log or ())
    if not whole:
        return Opinion(Status.FAIL)
    others = [k for k, one in enumerate(scenario.when) if one.duplicate and one.duplicate.payload != "same"]
    answered = [
        row
        for row in rows_of(expectation, run, window, expectation.of)
        if row.outcome == Outcome.OK and not (row.copy and any(row.touched >> k & 1 for k in others))
    ]
    shared = any(one.duplicate and one.duplicate.key for one in scenario.when)
    deliveries: dict[tuple[str, int], list[Row]] = {}
    names = {row.position: name(row, run, shared=shared) for row in run.rows}
    for row in run.rows:
        deliveries.setdefault(names[row.position], []).append(row)
    mine = [one for one in records if (one["id"], one.get("row", 0)) in deliveries]
    must(bool(mine) or not records, "no id of ours")
    by_name: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for one in mine:
        by_name.setdefault((one["id"], one.get("row", 0)), []).append(one)
    votes = []
    for row in answered:
        found = by_name.get(names[row.position], [])
        most = max(1, sum(each.attempts for each in undecided(deliveries[names[row.position]], keyed=shared)))
        fine = 1 <= len(found) <= most and any(tells(one, row, court.tolerance) for one in found)
        votes.append((row.position, row.scheduled_ns, not fine))
    late = disordered(mine, deliveries, {row.position for row in answered})
    if late or any(failed for _, _, failed in votes):
        return Opinion(Status.FAIL)
    must(len(votes) >= max(1, expectation.params.min_pairs), "enough data")
    sound(run, scenario)
    sent(court, scenario)
    return poll(Status.PASS, votes, 0.0)


def undecided(rows: list[Row], *, keyed: bool) -> list[Row]:
    """The deliveries that may be decided: under a key those that were sent when nobody had an answer yet."""
    replies = [row.replied_ns for row in rows if row.outcome == Outcome.OK]
    return [row for row in rows if not keyed or not any(at < row.sent_ns for at in replies)]


def ledger(lines: tuple[bytes, ...]) -> tuple[list[dict[str, Any]], bool]:
    """The records, and whether seals and numbers say that all of them are there as they were written."""
    records: list[dict[str, Any]] = []
    group: list[bytes] = []
    sealed, whole, head = False, True, ""
    for line in lines:
        try:
            told = json.loads(line)
        except ValueError:
            told = None
        if not (isinstance(told, dict) and "block" in told):
            group.append(line)
            continue
        total = hashlib.sha256()
        total.update(bytes.fromhex(told["previous"]))
        for one in group:
            total.update(one)
        whole = whole and total.hexdigest() == told["head"] and len(group) == told["rows"]
        whole = whole and (not sealed or told["previous"] == head)
        records += [record(one) for one in group] if whole else []
        sealed, head, group = True, told["head"], []
    if not sealed:
        records = [record(one) for one in group]
    numbers = [one["seq"] for one in records]
    return records, whole and numbers == [numbers[0] + i if numbers else 0 for i in range(len(numbers))]


def record(line: bytes) -> dict[str, Any]:
    """One answer, as it was written down."""
    try:
        told = json.loads(line)
    except ValueError:
        told = None
    if not isinstance(told, dict) or not {"seq", "id"} <= told.keys():
        raise Doubt("no record")
    return told


def name(row: Row, run: Book, *, shared: bool) -> tuple[str, int]:
    """What the log calls the row: the id of its request's first row, and which row it is."""
    first = next(one for one in run.requests[row.request] if one.place == 0)
    copied = f"~{first.copy}" if first.copy and not shared else ""
    return f"{first.stream}-{first.number}{copied}", row.place


def tells(told: dict[str, Any], row: Row, tolerance: float) -> bool:
    """The record says what the reply said."""
    score = told.get("score")
    if score is None or not isfinite(row.score):
        if score is not None or isfinite(row.score):
            return False
    elif abs(score - row.score) > tolerance + 1e-6:
        return False
    words = {1: "model", 2: "cache", 3: "default", 4: "fallback", 5: "rejected"}
    pairs = [(row.decision, told.get("decision")), (row.version, told.get("version"))]
    for said, noted in [*pairs, (words.get(row.source), told.get("source"))]:
        if said and noted and said != noted:
            return False
    return True


def disordered(records: list[dict[str, Any]], deliveries: dict[tuple[str, int], list[Row]], chosen: set[int]) -> bool:
    """A record stands after that of a request which was sent when its own had been answered."""
    sent: list[int] = []
    for told in records:
        rows = deliveries[(told["id"], told.get("row", 0))]
        row = rows[0]
        if sum(one.attempts for one in rows) != 1 or not any(one.outcome == Outcome.OK for one in rows):
            continue
        row = next(one for one in rows if one.outcome == Outcome.OK)
        if row.position in chosen and sent and max(sent) > row.replied_ns:
            return True
        sent = [max([*sent, row.sent_ns])]
    return False

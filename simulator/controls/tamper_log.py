"""T controls of the decision log: what a forger would do who can seal again, and what one would do who cannot."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from simulator.checks.evidence import Evidence
from simulator.controls import edits
from simulator.controls.case import Case, Tampering
from simulator.controls.naive.logs import name, undecided
from simulator.verdict import Status

Line = dict[str, Any]


def logged(case: Case) -> Iterator[Tampering]:
    """One record changed, missing, too often or in the wrong place, in a chain that holds; or one in a broken chain."""
    evidence, run = case.evidence, case.court.main
    written = evidence.main.log or ()
    lines: list[Line] = [msgspec.json.decode(line) for line in written]
    where = {(line["id"], line.get("row", 0)): i for i, line in enumerate(lines) if "block" not in line}
    shared = any(event.duplicate and event.duplicate.key for event in case.scenario.when)
    named = {row.position: name(row, run, shared=shared) for row in run.rows}
    times = Counter(named[row.position] for row in run.rows for _ in range(row.attempts))
    deliveries = defaultdict(list)
    for row in run.rows:
        deliveries[named[row.position]].append(row)
    most = {key: sum(row.attempts for row in undecided(rows, keyed=shared)) for key, rows in deliveries.items()}
    voters = [run.rows[i] for i in case.opinion.voters]
    own = named[voters[0].position]
    at = where[own]
    one = lines[at]

    def forged(*middle: Line) -> Callable[[], Evidence]:
        return lambda: _sealed(evidence, [*lines[:at], *middle, *lines[at + 1 :]])

    yield "red: one other score", Status.FAIL, forged(one | {"score": (one["score"] or 0.0) + 1 + evidence.tolerance})
    yield "red: one of another request", Status.FAIL, forged(one | {"id": f"{one['id']}-another"})
    yield "red: one dropped", Status.FAIL, forged()
    yield "red: one too often", Status.FAIL, forged(*[one] * (1 + max(1, most[own])))
    asked = dict.fromkeys(named[row.position] for row in voters)  # no record of another window is judged
    asked_again = next((key for key in asked if key in where and times[key] > most[key] == 1), None)
    if asked_again is not None:
        there = where[asked_again]
        twice = [*lines[: there + 1], lines[there], *lines[there + 1 :]]
        yield "red: decided again under its key", Status.FAIL, lambda: _sealed(evidence, twice)
    once = [row for row in voters if times[named[row.position]] == 1]
    later = next((row for row in once if row.sent_ns > once[0].replied_ns), None)
    if later is not None:
        first, second = where[named[once[0].position]], where[named[later.position]]
        swapped = list(lines)
        swapped[first], swapped[second] = lines[second], lines[first]
        yield "red: two swapped", Status.FAIL, lambda: _sealed(evidence, swapped)
    if any("block" in line for line in lines):
        raw = [*written[:at], b" " + written[at], *written[at + 1 :]]
        yield "red: a blank under a seal", Status.FAIL, lambda: edits.with_main(evidence, log=tuple(raw))
    yield "green: sealed again as it was", Status.PASS, lambda: _sealed(evidence, lines)
    yield "green: another order of the replies", Status.PASS, lambda: edits.reversed_items(evidence)
    yield "premise: nobody read the log", Status.UNKNOWN, lambda: edits.without_notes(evidence, "log")


def _sealed(evidence: Evidence, lines: list[Line]) -> Evidence:
    """The log with these lines, numbered and sealed as if they had always been so."""
    written: list[bytes] = []
    group: list[bytes] = []
    seq, head = next((line["seq"] for line in lines if "block" not in line), 0), None
    for line in lines:
        if "block" not in line:
            group.append(msgspec.json.encode(line | {"seq": seq}) + b"\n")
            seq += 1
            continue
        previous = line["previous"] if head is None else head
        head = hashlib.sha256(bytes.fromhex(previous) + b"".join(group)).hexdigest()
        seal = line | {"rows": len(group), "previous": previous, "head": head}
        written += [*group, msgspec.json.encode(seal) + b"\n"]
        group = []
    return edits.with_main(evidence, log=(*written, *group))

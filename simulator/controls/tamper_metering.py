"""T controls of metrics: a counter that is off by one, a version that does not answer, labels without end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from simulator.checks.evidence import Evidence
from simulator.controls import edits
from simulator.controls.case import Case, Tampering
from simulator.verdict import Status


def metered(case: Case) -> Iterator[Tampering]:
    """One request less, or more than were sent; another version; one series too many, and just as many as allowed."""
    evidence, main = case.evidence, case.evidence.main
    scrape = [note for note in main.notes if note.kind == "metrics"][-1]
    requests, limit = scrape.data["requests"], case.expectation.params.series
    sent = sum(row.attempts for row in case.court.main.rows if row.place == 0)
    code = str(next(row.status for row in case.court.main.rows if row.place == 0 and row.status > 0))

    def said(kind: str, **data: Any) -> Callable[[], Evidence]:
        notes = tuple(replace(note, data=note.data | data) if note.kind == kind else note for note in main.notes)
        return lambda: edits.with_main(evidence, notes=notes)

    seen = sum(row.place == 0 and str(row.status) == code for row in case.court.main.rows)
    more = requests | {code: requests[code] + sent - sum(requests.values()) + 1}
    yield f"red: one of status {code} too few", Status.FAIL, said("metrics", requests=requests | {code: seen - 1})
    yield "red: one more than were sent", Status.FAIL, said("metrics", requests=more)
    yield "red: another version", Status.FAIL, said("metrics", versions=["another"])
    yield "red: two versions", Status.FAIL, said("metrics", versions=["another", "another"])
    if any(note.kind == "serving" for note in main.notes):
        yield "red: the endpoint says another version", Status.FAIL, said("serving", version="another")
    yield "red: one series too many", Status.FAIL, said("metrics", series=limit + 1)
    yield "green: as many series as allowed", Status.PASS, said("metrics", series=limit)
    yield "red: the gauge is gone", Status.FAIL, said("metrics", versions=[""])
    unasked = edits.with_main(evidence, notes=tuple(note for note in said("metrics", versions=[])().main.notes
                                                    if note.kind != "serving"))  # fmt: skip
    yield "premise: nobody was asked which version serves", Status.UNKNOWN, lambda: unasked
    everybody = range(len(main.items["version"]))
    unnamed = edits.with_values(evidence, everybody, version="")
    yield "premise: no answer names its version", Status.UNKNOWN, lambda: unnamed
    yield "premise: nobody read them", Status.UNKNOWN, lambda: edits.without_notes(evidence, "metrics")
    yield "premise: not readable", Status.UNKNOWN, said("metrics", why="/metrics answered 500")

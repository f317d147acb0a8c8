"""The service's metrics once more, beside a tally of replies that is kept by hand."""

from __future__ import annotations

from collections import Counter

from simulator.controls.naive.court import Court, Opinion, must
from simulator.controls.naive.premises import notes
from simulator.controls.naive.windows import ground
from simulator.history.schema import Outcome
from simulator.scenario.model import Expectation, Scenario
from simulator.verdict import Status


def metered(expectation: Expectation, scenario: Scenario, court: Court) -> Opinion:
    """equal: no status counted less than it was seen, no more counted than sent, the version of the latest answers."""
    ground(expectation, scenario, court)
    run = court.main
    must(not any(event.restart for event in scenario.when), "counters begin anew")
    scrapes = notes(run, "metrics")
    must(bool(scrapes) and not scrapes[-1]["why"], "nobody read the metrics")
    said = scrapes[-1]
    seen = Counter(str(row.status) for row in run.rows if row.place == 0 and row.status > 0)
    must(bool(seen), "no reply")
    good = all(said["requests"].get(code, 0) >= count for code, count in seen.items())
    good = good and sum(said["requests"].values()) <= sum(row.attempts for row in run.rows if row.place == 0)
    good = good and said["series"] <= expectation.params.series
    answers = sorted(
        (row for row in run.rows if row.outcome == Outcome.OK and row.version), key=lambda row: row.replied_ns
    )
    by = Counter(row.version for row in answers[-100:])
    named = [said["versions"]] if said["versions"] else []
    named += [[note["version"]] for note in notes(run, "serving")[-1:]]
    must(bool(named), "nobody was asked which version serves")
    must(bool(by), "no answer names its version")
    for names in named:
        good = good and len(names) == 1 and by[names[0]] == max(by.values())
    return Opinion(Status.PASS if good else Status.FAIL)

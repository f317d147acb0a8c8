"""The family that holds the service's metrics against what the harness itself counted: metered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from simulator.checks import evaluators, selection
from simulator.checks.evidence import Evidence
from simulator.checks.premises import PremiseError
from simulator.history.schema import History, Note, Outcome
from simulator.scenario.families import Metered
from simulator.scenario.model import Expectation, Scenario
from simulator.verdict import Finding

_LATEST: Final = 100  # answers that say which version answers by now


def metered(expectation: Expectation, scenario: Scenario, evidence: Evidence) -> Finding:
    """equal: as many requests of each status as replies, no more than attempts in all; the version that answers.

    What a client gave up on may have been answered all the same: hence at least so many of each, at most so many in
    all. Where nobody gave up, both say exactly.
    """
    selection.ground(expectation, scenario, evidence)
    main, wanted = evidence.main, expectation.metered or Metered()
    if any(event.restart is not None for event in scenario.when):
        raise PremiseError("metrics: counters begin anew with a restart", "ask for `metered` where nothing restarts")
    scrape = _last(main, "metrics")
    if scrape is None or scrape.data["why"]:
        why = "nobody read them" if scrape is None else str(scrape.data["why"])
        raise PremiseError(f"metrics: {why}", "see `metrics` in the target file")
    replies = _replies(main)
    wrong = [*_miscounted(main, scrape, replies), *_misnamed(main, scrape)]
    if int(scrape.data["series"]) > wanted.series:
        wrong.append(f"{scrape.data['series']} series, over {wanted.series}")
    return evaluators.equal(
        tuple(wrong),
        limit=f"the metrics say what happened, in at most {wanted.series} series",
        pairs=sum(replies.values()),
        failures=len(wrong),
        min_pairs=1,
        noun="replies and their counters",
    )


def _last(history: History, kind: str) -> Note | None:
    found = [note for note in history.notes if note.kind == kind]
    return found[-1] if found else None


def _replies(history: History) -> dict[str, int]:
    """Replies by status, one to a request."""
    items = history.items
    status = items["status"][(items["row"] == 0) & (items["status"] > 0)]
    return {str(code): int(count) for code, count in zip(*np.unique(status, return_counts=True), strict=True)}


def _miscounted(history: History, scrape: Note, replies: dict[str, int]) -> Iterator[str]:
    said: dict[str, int] = scrape.data["requests"]
    for code, count in sorted(replies.items()):
        if said.get(code, 0) < count:
            yield f"{count} replies had status {code}, and {said.get(code, 0)} are counted"
    items = history.items
    sent = int(items["attempts"][items["row"] == 0].sum())
    if sum(said.values()) > sent:
        yield f"{sent} requests were sent, and {sum(said.values())} are counted"


def _misnamed(history: History, scrape: Note) -> Iterator[str]:
    """What is said to serve does not, or not as much as another one.

    Raises:
        PremiseError: Nobody was asked, or no answer says which version gave it.
    """
    items = history.items
    answered = np.flatnonzero((items["outcome"] == Outcome.OK) & (items["version"] != ""))
    told = [("the metrics name", list(map(str, scrape.data["versions"])))] if scrape.data["versions"] else []
    endpoint = _last(history, "serving")
    if endpoint is not None:
        told.append(("the endpoint names", [str(endpoint.data["version"])]))
    if not told:
        raise PremiseError(
            "metrics: nobody was asked which version serves", "name `metrics.build` or `serving` in the target file"
        )
    if not len(answered):
        raise PremiseError("version: no answer says which version gave it", "map `read.version` in the target file")
    latest = answered[np.argsort(items["replied_ns"][answered], kind="stable")][-_LATEST:]
    versions, counts = np.unique(items["version"][latest].astype(str), return_counts=True)
    most = {str(one) for one in versions[counts == counts.max()]}
    for who, names in told:
        if len(names) != 1 or names[0] not in most:
            yield f"{who} {' and '.join(names) or 'nobody'}, and {' or '.join(sorted(most))} answers"

"""Families about requests that come twice: idempotent."""

from __future__ import annotations

from typing import Final

import numpy as np

from simulator.checks import evaluators, selection, words
from simulator.checks.evidence import Evidence
from simulator.checks.joins import NOBODY
from simulator.history.schema import History, Outcome
from simulator.scenario.families import Idempotent
from simulator.scenario.model import Expectation, Scenario
from simulator.verdict import Finding

_KEPT: Final = (Outcome.OK, Outcome.REJECT)  # a failure is not kept for a retry: it is what the retry is for


def idempotent(expectation: Expectation, scenario: Scenario, evidence: Evidence) -> Finding:
    """equal: each second delivery's outcome, score, decision and version are the first one's.

    Where the event sends another payload under the key, the second delivery must be rejected. Deliveries that were
    shed, or whose first one failed, are no pairs.
    """
    window = selection.ground(expectation, scenario, evidence)
    main = evidence.main
    items = main.items
    duplicate = scenario.event(str(expectation.of)).duplicate
    rows = np.flatnonzero(selection.rows(expectation, main, window, of=expectation.of) & (items["copy"] > 0))
    first = _firsts(main, rows)
    kept = (first != NOBODY) & np.isin(items["outcome"][np.maximum(first, 0)], _KEPT)
    kept &= items["outcome"][rows] != Outcome.SHED
    rows, first = rows[kept], first[kept]
    if duplicate is not None and duplicate.payload != "same":
        wrong = items["outcome"][rows] != Outcome.REJECT
        limit = "a key with another payload is refused"
    else:
        wrong = ~_same(main, rows, first)
        limit = "the second answer is the first"
    minimum = (expectation.idempotent or Idempotent()).min_pairs
    told = tuple(_witness(main, int(rows[i]), int(first[i])) for i in np.flatnonzero(wrong)[: words.MOST_WITNESSES])
    return evaluators.equal(
        told,
        limit=f"{limit}, of at least {minimum}",
        pairs=len(rows),
        failures=int(wrong.sum()),
        min_pairs=minimum,
        noun="deliveries",
    )


def _firsts(history: History, rows: np.ndarray) -> np.ndarray:
    """int64[n]: where the first delivery of each row stands, NOBODY where it is not there."""
    items = history.items
    originals = np.flatnonzero((items["copy"] == 0) & np.isin(items["index"], items["index"][rows]))
    keys = zip(items["stream"][originals].tolist(), items["index"][originals].tolist(), strict=True)
    place = dict(zip(keys, originals.tolist(), strict=True))
    asked = zip(items["stream"][rows].tolist(), items["index"][rows].tolist(), strict=True)
    return np.array([place.get(key, NOBODY) for key in asked], np.int64)


def _same(history: History, rows: np.ndarray, first: np.ndarray) -> np.ndarray:
    items = history.items
    score, before = items["score"][rows], items["score"][first]
    equal = (score == before) | ~(np.isfinite(score) | np.isfinite(before))
    for name in ("outcome", "decision", "version"):
        equal &= np.asarray(items[name][rows] == items[name][first], bool)
    return np.asarray(equal, bool)


def _witness(history: History, row: int, first: int) -> str:
    return f"{words.item(history, row)}: {_answer(history, row)}, first {_answer(history, first)}"


def _answer(history: History, row: int) -> str:
    items = history.items
    outcome = Outcome(int(items["outcome"][row])).name.lower()
    said = [outcome, words.score(float(items["score"][row])), str(items["decision"][row]), str(items["version"][row])]
    return " ".join(part for part in said if part)

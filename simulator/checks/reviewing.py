"""Families about human review: who is shown to people, and whether what they say stands."""

from __future__ import annotations

from typing import Any

import numpy as np

from simulator.checks import evaluators, selection, words
from simulator.checks.evaluators import Ballot, Limit
from simulator.checks.evidence import Evidence
from simulator.checks.logged import Key, named
from simulator.checks.premises import PremiseError
from simulator.checks.windows import Window
from simulator.history.schema import History, Outcome, Source
from simulator.scenario.families import Reviewed, Shown
from simulator.scenario.model import Expectation, Scenario
from simulator.verdict import Finding


def reviewed(expectation: Expectation, scenario: Scenario, evidence: Evidence) -> Finding:
    """equal: each answer that says `review` was shown to people; what they said of a case stands when all is over.

    Pairs are answered rows that say so, and all others that were shown. What was answered after the last reading of the
    queue could not be shown any more.
    """
    window = selection.ground(expectation, scenario, evidence)
    wanted, main = expectation.reviewed or Reviewed(), evidence.main
    answered = _answered(main)
    chosen = np.flatnonzero(selection.rows(expectation, main, window, of=expectation.of) & answered)
    decided = main.items["decision"]
    if len(chosen):
        selection.ever_decided(wanted.decision, "decision", evidence)
    keys = named(scenario, main)
    said, stands = _said(main, "review"), _said(main, "stands")
    if said and not stands:
        raise PremiseError("reviews: nobody asked what stands in the end", "see `reviews` in the target file")
    wrong: list[str] = []
    pairs = 0
    for row in chosen.tolist():
        shown = said.get(keys[row])
        if shown is None and decided[row] != wanted.decision:
            continue
        pairs += 1
        standing = str(stands.get(keys[row], {}).get("decision", ""))
        if shown is None:
            wrong.append(f"{words.item(main, row)}: answered {wanted.decision}, and shown to nobody")
        elif not shown["taken"]:
            wrong.append(f"{words.item(main, row)}: a person said {shown['verdict']}, and it was not taken")
        elif standing != shown["verdict"]:
            wrong.append(
                f"{words.item(main, row)}: a person said {shown['verdict']}, and {standing or 'nothing'} stands"
            )
    return evaluators.equal(
        tuple(wrong[: words.MOST_WITNESSES]),
        limit=f"people see what is to be reviewed, and have the last word, of at least {wanted.min_pairs}",
        pairs=pairs,
        failures=len(wrong),
        min_pairs=wanted.min_pairs,
        noun="cases and what stands",
    )


def shown(expectation: Expectation, scenario: Scenario, evidence: Evidence, window: Window) -> tuple[Ballot, Limit]:
    """Rows answered before the last look at the queue, failing where people were shown them; `min`: where not."""
    wanted, main = expectation.shown or Shown(max=0.0), evidence.main
    rows = np.flatnonzero(selection.rows(expectation, main, window, of=expectation.of) & _answered(main))
    keys, said = named(scenario, main), _said(main, "review")
    seen = np.fromiter((keys[row] in said for row in rows.tolist()), bool, len(rows))

    def witness(i: int) -> str:
        row = int(rows[i])
        return f"{words.item(main, row)}: {main.items['decision'][row]}, {'' if seen[i] else 'not '}shown"

    at = main.items["scheduled_ns"][rows]
    if wanted.max is not None:
        return Ballot(at, seen, "answers", witness, selection.block_ns(main)), Limit(wanted.max)
    return Ballot(at, ~seen, "answers", witness, selection.block_ns(main)), Limit.at_least(wanted.min or 0.0)


def _answered(history: History) -> np.ndarray:
    """bool[n]: answered, and before the queue was last read, so that people could be shown it.

    Raises:
        PremiseError: Nobody read it.
    """
    read = [note.at_ns for note in history.notes if note.kind == "queue" and not note.data["why"]]
    if not read:
        whys = [str(note.data["why"]) for note in history.notes if note.kind == "queue"]
        raise PremiseError(
            f"reviews: nobody read the queue{': ' + whys[0] if whys else ''}", "see `reviews` in the target file"
        )
    items = history.items
    answered = (items["outcome"] == Outcome.OK) & (items["source"] != Source.REJECTED)
    return np.asarray(answered & (items["replied_ns"] < max(read)), bool)


def _said(history: History, kind: str) -> dict[Key, dict[str, Any]]:
    """What was said of each case."""
    return {(str(note.data["id"]), int(note.data["row"])): note.data for note in history.notes if note.kind == kind}

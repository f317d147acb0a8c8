"""Which version serves before anything happens: the one that `given.serving` names, or nobody speaks of versions.

A service that somebody else started was never told which version it is to serve, and one that was told may not have
listened: only its answers say.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from simulator.history.schema import History, Outcome
from simulator.scenario.model import Expectation, Scenario

# Families that name a version, or take the one that serves from the start for granted.
NAMING: Final = frozenset(
    {"rollback", "exposure", "promoted", "shadow", "lossless", "refuses", "retrain", "better"}
)  # fmt: skip


def depends(expectation: Expectation) -> bool:
    """Whether it can only be judged if the version that serves from the start is known."""
    return expectation.family in NAMING or bool(expectation.parity is not None and expectation.parity.serving)


def stranger(scenario: Scenario, named: Iterable[str]) -> str:
    """Why these versions, named before anything happened, are not what `given` says; empty if they are."""
    serving = scenario.given.serving
    others = sorted(set(named) - {serving, ""})
    return f"{' and '.join(others)} answered before anything happened, where `given` says {serving}" if others else ""


def stated(scenario: Scenario) -> bool:
    """Whether the file itself says what serves. Where it does not, `v1` is a name that nobody gave."""
    return "serving" in scenario.given.model_fields_set


def flaw(history: History, scenario: Scenario, *, told: bool) -> tuple[str, str]:
    """Why what answers before the first event is not what `given` says, and what to do; empty if it is.

    Args:
        history: The run.
        scenario: Its own: a clean run that another version serves has another `given`.
        told: whether at least one answer must say so.
    """
    items, serving = history.items, scenario.given.serving
    until = min((event.at for event in scenario.when), default=history.header.end_ns)
    # By its reply: what is open when a release begins may be answered by what comes.
    before = (items["replied_ns"] < until) & (items["outcome"] == Outcome.OK)
    named = np.unique(items["version"][before].astype(str))
    why = stranger(scenario, named)
    if why:
        return f"serving: {why}", f"have the service serve {serving}, or write `serving:` as the service names it"
    if told and serving not in named:
        why = f"serving: no answer before the first event names its version, so nobody knows whether it was {serving}"
        return why, "map `read.version` in the target file, and let the service answer before the first event"
    return "", ""

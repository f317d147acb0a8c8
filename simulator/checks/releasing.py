"""Families about versions that must not be noticed: shadow, lossless."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simulator.checks import evaluators, handling, premises, selection, words
from simulator.checks.evidence import Evidence
from simulator.checks.joins import NOBODY, agreement, partners, same_reply
from simulator.checks.premises import PremiseError
from simulator.checks.selection import FAILED
from simulator.checks.signals import mostly_shared
from simulator.history.schema import NEVER, History, Outcome
from simulator.scenario.families import ShadowIs
from simulator.scenario.model import Expectation, Scenario
from simulator.verdict import Finding, Status


def shadow(expectation: Expectation, scenario: Scenario, evidence: Evidence) -> Finding:
    """equal: outcome, score, decision, version and latency are the clean twin's, and the shadow answers nobody.

    Latencies can be compared to the nanosecond in virtual time only, where nothing else takes any.
    """
    window = selection.ground(expectation, scenario, evidence)
    wanted = expectation.shadow or ShadowIs(version="")
    main = evidence.main
    if main.header.driver != "virtual":
        raise PremiseError("latency: in real time nobody can tell whose delay it was", "add `runs_on: [virtual]`")
    twin = premises.reproducible_twin(evidence, scenario)
    chosen = selection.rows(expectation, main, window, of=None)
    selection.says_version(main, chosen)
    rows = np.flatnonzero(chosen)
    mate = partners(evidence, main, twin)[rows]
    here = mate != NOBODY
    if len(twin) and evidence.aa is not None:
        here &= ~agreement(evidence, twin, evidence.aa).differs[np.where(here, mate, 0)]
    kept, mate = rows[here], mate[here]
    mostly_shared(len(kept), len(rows))
    wrong = ~same_reply(main, kept, twin, mate, evidence.tolerance)
    wrong |= np.asarray(main.items["version"][kept] != twin.items["version"][mate], bool)
    wrong |= _latency(main, kept) != _latency(twin, mate)
    wrong |= np.asarray(main.items["version"][kept] == wanted.version, bool)
    guilty = np.flatnonzero(wrong)
    told = tuple(_beside(evidence, twin, int(kept[i]), int(mate[i])) for i in guilty[: words.MOST_WITNESSES])
    return evaluators.equal(
        told, limit=f"as without it, of at least {wanted.min_pairs}", pairs=len(kept), failures=len(guilty),
        min_pairs=wanted.min_pairs, noun="replies",
    )  # fmt: skip


def _latency(history: History, rows: np.ndarray) -> np.ndarray:
    items = history.items
    replied = items["replied_ns"][rows]
    return np.asarray(np.where(replied == NEVER, NEVER, replied - items["scheduled_ns"][rows]))


def _beside(evidence: Evidence, twin: History, row: int, mate: int) -> str:
    main = evidence.main
    here, there = int(_latency(main, np.array([row]))[0]), int(_latency(twin, np.array([mate]))[0])
    late = "" if here == there else f"; after {words.moment(here)} instead of {words.moment(there)}"
    return f"{handling.describe(evidence, twin, row, mate)}, version {main.items['version'][row]}{late}"


def lossless(expectation: Expectation, scenario: Scenario, evidence: Evidence) -> Finding:
    """never: a request that was open when the window began, or was sent in it, was lost, or answered by no one version.

    Lost is what was neither answered nor clearly refused, unless the clean twin lost the same one. The version must be
    one that serves or was released; all rows of a request must name the same.
    """
    window = selection.ground(expectation, scenario, evidence)
    twin = premises.clean_twin(evidence, scenario)
    main, items = evidence.main, evidence.main.items
    scheduled, outcome = items["scheduled_ns"], items["outcome"]
    closed = np.where(items["replied_ns"] == NEVER, scheduled + scenario.given.traffic.timeout, items["replied_ns"])
    in_flight = (scheduled < window.start) & (closed >= window.start)
    asked = np.asarray(window.contains(scheduled) | in_flight, bool)
    selection.says_version(main, asked)
    lost = np.isin(outcome, (*FAILED, Outcome.SHED))
    if len(twin):
        mate = partners(evidence, main, twin)
        there = twin.items["outcome"][np.where(mate == NOBODY, 0, mate)]
        lost &= ~((mate != NOBODY) & np.isin(there, (*FAILED, Outcome.SHED)))
    released = (event.params.version for event in scenario.when if event.verb in {"release", "retrain"})
    known = {scenario.given.serving, *released}
    answered = np.asarray(outcome == Outcome.OK, bool)
    strange = answered & ~np.isin(items["version"].astype(str), sorted(known)) | _torn(evidence, answered)
    guilty = np.flatnonzero(asked & (lost | strange))
    open_then = int(in_flight.sum())
    told = (_fate(main, int(row)) for row in guilty[: words.MOST_WITNESSES])
    limit = f"everything answered by one version {window.text}"
    if len(guilty):
        finding = evaluators.never(told, limit=limit, opportunities=open_then, complete=window.complete)
        return replace(finding, observed=f"{len(guilty)} of {int(asked.sum())} were not")
    if not open_then:
        raise PremiseError(
            "opportunity: nothing was in flight when it began, so nothing could be lost", "raise the load"
        )
    if not window.complete:
        raise PremiseError("window: the run ended before it did", "let the run last longer")
    why = f"{open_then} were in flight when it began, and none was lost"
    return Finding(Status.PASS, limit, f"all {int(asked.sum())} answered", why, n=int(asked.sum()))


def _torn(evidence: Evidence, answered: np.ndarray) -> np.ndarray:
    """bool[n]: rows of a request whose answered rows name more than one version."""
    main = evidence.main
    grouped = selection.requests(evidence, main)
    _, named = np.unique(main.items["version"].astype(str), return_inverse=True)
    size = len(grouped.first)
    highest, lowest = np.full(size, -1), np.full(size, len(main) + 1)
    np.maximum.at(highest, grouped.group[answered], named[answered])
    np.minimum.at(lowest, grouped.group[answered], named[answered])
    return np.asarray((highest > lowest)[grouped.group] & answered)


def _fate(history: History, row: int) -> str:
    outcome = Outcome(int(history.items["outcome"][row])).name.lower()
    return f"{words.item(history, row)}: {outcome}, version {history.items['version'][row] or 'not said'}"

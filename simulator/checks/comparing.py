"""Families that compare values: parity with the clean twin, quality with the truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from simulator.checks import evaluators, handling, premises, selection, words
from simulator.checks.evidence import Evidence
from simulator.checks.joins import NOBODY, agreement, equal_scores, partners
from simulator.checks.premises import PremiseError
from simulator.checks.signals import mostly_shared
from simulator.checks.statistics import clopper_pearson
from simulator.checks.windows import resolve
from simulator.history.schema import NEVER, History, Note, Outcome
from simulator.scenario.families import Parity, Quality
from simulator.scenario.model import Expectation, Scenario
from simulator.verdict import Finding, Status

MIN_QUALITY: Final = 200  # labels behind an estimate, and rows behind the truth
UNDERCOUNT: Final = 0.9  # of the labels that it has acknowledged
OVERCOUNT: Final = 1.01  # cohorts are cut by the service's clock, so the edges may differ a little


def parity(expectation: Expectation, scenario: Scenario, evidence: Evidence) -> Finding:
    """equal: each selected row's score is the clean twin's; no score where the twin has one is a mismatch.

    Where both say what was decided, equal scores have equal decisions.

    A mismatch is proven by the records themselves, so it FAILs also where the steady state or the driver leaves
    a PASS in doubt (S3), as long as two clean runs agree on every row. Where they disagree on a few, mismatches
    must be more than that noise. With `serving`, the rows that this version answered are compared with a clean run
    that it serves from the start, of another target if one is named; and so are those that nobody answered, where no
    other version could have.
    """
    wanted = expectation.parity or Parity()
    twin = premises.reproducible_twin(evidence, scenario)
    window = resolve(expectation, scenario, evidence.main)
    chosen = selection.rows(expectation, evidence.main, window, of=expectation.of)
    if wanted.beside is not None:
        selection.says_version(evidence.main, chosen)
        served = np.asarray(evidence.main.items["version"] == wanted.serving, bool)
        if not any(event.changes_version for event in scenario.when):
            served |= evidence.main.items["outcome"] != Outcome.OK
        chosen &= served
        twin = premises.served_by(wanted.beside, evidence, scenario)
    rows = np.flatnonzero(chosen)
    mate = partners(evidence, evidence.main, twin)[rows]
    here = mate != NOBODY
    clean = evidence.twin if wanted.serving is None else None
    noise = agreement(evidence, clean, evidence.aa) if clean is not None and evidence.aa is not None else None
    if len(twin):
        at = np.where(here, mate, 0)
        here &= (twin.items["outcome"][at] == Outcome.OK) & np.isfinite(twin.items["score"][at])
        if noise is not None:
            here &= ~noise.differs[at]
    kept, mate = rows[here], mate[here]
    theirs = twin.items["score"][mate]
    ours = np.where(evidence.main.items["outcome"][kept] == Outcome.OK, evidence.main.items["score"][kept], np.nan)
    differ = ~equal_scores(ours, theirs, evidence.tolerance)
    decided, there = evidence.main.items["decision"][kept], twin.items["decision"][mate]
    differ |= (ours == theirs) & np.asarray((decided != there) & (decided != "") & (there != ""), bool)
    wrong = np.flatnonzero(differ)
    minimum = wanted.min_pairs
    limit = f"all equal, of at least {minimum}"
    told = tuple(handling.describe(evidence, twin, int(kept[i]), int(mate[i])) for i in wrong[: words.MOST_WITNESSES])
    finding = evaluators.equal(told, limit=limit, pairs=len(kept), failures=len(wrong), min_pairs=minimum, noun="rows")
    if finding.status is Status.FAIL:
        if noise is not None and noise.differing and clopper_pearson(len(wrong), len(kept))[0] <= premises.NOISE:
            raise PremiseError(
                f"reproducibility: {len(wrong)} of {len(kept)} rows differ, and so do {noise.differing} of "
                f"{noise.pairs} between two clean runs",
                "find what is random in the target, or declare its tolerance",
            )
        return finding
    premises.sound_run(evidence, evidence.main, scenario)
    mostly_shared(len(kept), len(rows))
    return finding


@dataclass(frozen=True, slots=True)
class Truth:
    """What the service should have estimated: over `n` rows that it answered, `answers` counting duplicates.

    `told`: of how many of the rows it had acknowledged the label by then.
    """

    value: float
    n: int
    answers: int
    told: int


def truth(of: str, history: History, matured_before_ns: int, at_ns: int) -> Truth:
    """The positive rate or the Brier score of the rows that happened before, by their latent labels."""
    items = history.items
    answered = (items["outcome"] == Outcome.OK) & np.isfinite(items["score"]) & (items["truth"] >= 0)
    answered &= items["event_ns"] < matured_before_ns
    once = answered & (items["copy"] == 0)
    labels = items["truth"][once].astype(float)
    if not len(labels):
        return Truth(float("nan"), 0, int(answered.sum()), 0)
    errors = (items["score"][once] - labels) ** 2
    came = items["label_ns"][once]
    told = int(((came != NEVER) & (came <= at_ns)).sum())
    return Truth(float((labels if of == "positive_rate" else errors).mean()), len(labels), int(answered.sum()), told)


def quality(expectation: Expectation, scenario: Scenario, evidence: Evidence) -> Finding:
    """The service's last own estimate in the window agrees with the truth of the rows that it speaks of."""
    window = selection.ground(expectation, scenario, evidence)
    wanted = expectation.quality or Quality(within=1.0)
    limit = f"{wanted.of} within {wanted.within:g} of the truth"
    note = _latest(evidence.main, window.spans)
    if note is None:
        raise PremiseError("estimate: the service gave none in the window", "map its quality endpoint, or wait longer")
    if note.data[wanted.of] is None:
        raise PremiseError(
            f"estimate: the service gives no number, its quality is {note.data.get('status', 'not known')}",
            "lengthen the run, or have it allow some refusals at random",
        )
    estimate, n = float(note.data[wanted.of]), int(note.data["n"])
    found = truth(wanted.of, evidence.main, int(note.data["matured_before_ns"]), note.at_ns)
    if min(n, found.n) < MIN_QUALITY or not np.isfinite(estimate):
        raise PremiseError(
            f"enough data: {n} labels behind the estimate, {found.n} rows behind the truth; it takes {MIN_QUALITY}",
            "lengthen the run, or let the labels come sooner",
        )
    off = abs(estimate - found.value)
    observed = f"{estimate:.6g} where the truth is {found.value:.6g}"
    margin = (wanted.within - off) / wanted.within
    matured = words.moment(int(note.data["matured_before_ns"]))
    at = (f"estimate at {words.moment(note.at_ns)}: {n} labels matured before {matured}",)
    if n > OVERCOUNT * found.answers:
        why = f"it counts {n} labels for {found.answers} answers"
        return Finding(Status.FAIL, limit, observed, why, n=n, margin=margin, witnesses=at)
    if n < UNDERCOUNT * found.told:
        why = f"it counts {n} labels, and has acknowledged {found.told} of the rows that it speaks of"
        return Finding(Status.FAIL, limit, observed, why, n=n, margin=margin, witnesses=at)
    status = Status.PASS if off <= wanted.within else Status.FAIL
    return Finding(status, limit, observed, f"off by {off:.3g}", n=n, margin=margin, witnesses=at)


def _latest(history: History, spans: tuple[tuple[int, int], ...]) -> Note | None:
    inside = [
        note
        for note in history.notes
        if note.kind == "quality" and any(start <= note.at_ns < end for start, end in spans)
    ]
    return max(inside, key=lambda note: (note.at_ns, note.data["as_of_ns"], note.data["n"]), default=None)

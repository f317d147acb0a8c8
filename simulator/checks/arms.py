"""The family about two versions side by side: better."""

from __future__ import annotations

from math import hypot, sqrt
from typing import Final

import numpy as np
from scipy.special import stdtrit

from simulator.checks import selection, words
from simulator.checks.evidence import Evidence
from simulator.checks.premises import PremiseError
from simulator.checks.statistics import CONFIDENCE, TIE
from simulator.history.schema import History, Outcome
from simulator.scenario.families import Better
from simulator.scenario.model import Expectation, Scenario
from simulator.verdict import Finding, Status

CROSSED: Final = 0.01  # of customers, who met both: those whom the switch caught, and no more
SCORELESS: Final = 0.01  # of rows: who goes without an answer may be the very one who would have had a bad one


def better(expectation: Expectation, scenario: Scenario, evidence: Evidence) -> Finding:
    """share, of means: PASS if the lower bound of the gain is at least `by`, FAIL if the upper bound is below it.

    The gain is the mean squared error of the scores of `than` less that of `version`, each about its own rows, by
    their latent truth, whatever the scores came from: a version that falls back where it is hard is no better for it.
    Who was assigned is the customer and not the row, so customers are the sample: the variance of
    a mean over clusters of unequal size (Cochran, Sampling Techniques, 3rd ed., 2.39) and Student's t.
    """
    window = selection.ground(expectation, scenario, evidence)
    wanted = expectation.better or Better(version="", than="")
    if not window.complete:
        raise PremiseError("window: the run ended before it did", "let the run last longer")
    main = evidence.main
    chosen = selection.rows(expectation, main, window, of=expectation.of)
    selection.says_version(main, chosen)
    known = chosen & (main.items["truth"] >= 0) & (main.items["copy"] == 0)
    scored = known & (main.items["outcome"] == Outcome.OK) & np.isfinite(main.items["score"])
    lacking = int((known & ~scored).sum())
    if lacking > SCORELESS * int(known.sum()):
        raise PremiseError(
            f"arms: {lacking} of {int(known.sum())} rows have no score, so who has one is no sample",
            "compare where both versions answer",
        )
    ours, theirs = (np.flatnonzero(scored & (main.items["version"] == it)) for it in (wanted.version, wanted.than))
    both = np.intersect1d(main.items["entity"][ours], main.items["entity"][theirs])
    everybody = len(np.union1d(main.items["entity"][ours], main.items["entity"][theirs]))
    if len(both) > CROSSED * everybody:
        raise PremiseError(
            f"arms: {len(both)} of {everybody} customers were answered by both versions, so neither is a sample",
            "assign by customer, and look only while the test runs (`during`)",
        )
    arms = [_arm(main, rows[~np.isin(main.items["entity"][rows], both)]) for rows in (ours, theirs)]
    few = min(len(losses) for losses, _ in arms)
    if few < wanted.min_customers:
        raise PremiseError(
            f"enough data: one arm answered {few} customers, under {wanted.min_customers}",
            "look longer, send more, or give the smaller arm a larger share",
        )
    (own, error), (other, its_error) = (_mean(*arm) for arm in arms)
    gain, reach = other - own, float(stdtrit(few - 1, CONFIDENCE)) * hypot(error, its_error)
    lower, upper = gain - reach, gain + reach
    status = Status.PASS if lower >= wanted.by - TIE else Status.FAIL if upper < wanted.by - TIE else Status.UNKNOWN
    limit = f"better than {wanted.than} by {wanted.by:g} or more"
    why = {
        Status.PASS: f"99% sure that it is better by at least {lower:.3g}",
        Status.FAIL: f"99% sure that it is better by less than {upper:.3g}",
        Status.UNKNOWN: f"too little data: anything from {lower:.3g} to {upper:.3g} is possible",
    }[status]
    remedy = "look longer, send more, or ask for less" if status is Status.UNKNOWN else ""
    observed = f"Brier {own:.5f}, {wanted.than} {other:.5f}: better by {gain:.3g}"
    told = words.few(
        f"{version}: {int(rows.sum())} rows of {len(rows)} customers"
        for version, (_, rows) in zip((wanted.version, wanted.than), arms, strict=True)
    )
    n = int(sum(rows.sum() for _, rows in arms))
    return Finding(status, limit, observed, why, remedy, n, (lower, upper), None, None, told)


def _arm(history: History, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(float64[g] squared errors summed over each customer, int64[g] how many)."""
    items = history.items
    _, who = np.unique(items["entity"][rows], return_inverse=True)
    losses = (items["score"][rows] - items["truth"][rows]) ** 2
    order = np.lexsort((losses, who))  # added up in an order that is not the records'
    return np.bincount(who[order], weights=losses[order]), np.bincount(who)


def _mean(losses: np.ndarray, rows: np.ndarray) -> tuple[float, float]:
    """(mean over all rows, its standard error over customers)."""
    customers, total = len(rows), float(rows.sum())
    mean = float(losses.sum()) / total
    residual = losses - mean * rows
    return mean, sqrt(customers / (customers - 1) * float((residual**2).sum())) / total

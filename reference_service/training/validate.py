"""How good a model is on rows that came later than those it learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike

from reference_service.training.weights import at, effective

DAY_NS: Final = 86_400 * 1_000_000_000
DAY_ROWS: Final = 100
BATCHES: Final = 10
UNKNOWN: Final = 1.0  # standard error of an AUC of which nobody knows how it moves
_FEW: Final = 2
# Levels between the cells of the calibration: even ones, and finer ones where the rare positives are.
_LEVELS: Final = np.concatenate([np.arange(1, 20) / 20, [0.97, 0.98, 0.99, 0.995, 0.999]])


@dataclass(frozen=True, slots=True)
class Report:
    """Quality on n held-out rows. `worst_day_brier` is of the worst day that has at least `DAY_ROWS` rows."""

    n: int
    auc: float
    auc_error: float  # its standard error, by how it moves from one tenth of the time to the next
    brier: float
    worst_day_brier: float
    positive_rate: float
    score_deciles: np.ndarray  # float64[9]
    calibration_cuts: np.ndarray  # float64[k - 1]
    calibration: np.ndarray  # float64[k]


def split_by_time(event_ns: np.ndarray, held_out: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """int64 positions of the earlier and of the later rows; the later ones are the share `held_out`."""
    order = np.argsort(event_ns, kind="stable")
    cut = len(order) - int(len(order) * held_out)
    return order[:cut], order[cut:]


def validate(
    labels: np.ndarray, probabilities: np.ndarray, event_ns: np.ndarray, weights: np.ndarray | None = None
) -> Report:
    """Judge probabilities (float64[n]) by labels (0 or 1, both must occur); `event_ns` (int64[n]) tells the days.

    `weights` (float64[n]; None: all alike) say how many rows each one stands for: every number is of what they all
    stand for, means divided by the sum of the weights (`weights.py`).
    """
    loss = (probabilities - labels) ** 2
    cuts, calibration = calibrate(labels, probabilities, weights)
    return Report(
        n=len(labels),
        auc=auc(labels, probabilities, weights),
        auc_error=_auc_error(labels, probabilities, event_ns, weights),
        brier=float(np.average(loss, weights=weights)),
        worst_day_brier=_worst_day(loss, event_ns, weights),
        positive_rate=float(np.average(labels, weights=weights)),
        score_deciles=_quantiles(probabilities, np.arange(1, 10) / 10, weights),
        calibration_cuts=cuts,
        calibration=calibration,
    )


def errors_by_group(
    groups: Sequence[str], labels: np.ndarray, approved: np.ndarray, weights: np.ndarray | None = None
) -> dict[str, list[list[int]]]:
    """Group → [[wrong, of] of its negatives, [wrong, of] of its positives].

    Args:
        groups: n names; rows of "" are left out.
        labels: int64[n], 0 or 1.
        approved: bool[n]: wrong of a positive; anything else is wrong of a negative.
        weights: float64[n], how many rows each one stands for; None: itself. Then counts are of as many rows of equal
            weight as say as much (`effective`), so that bounds for counts hold of them.
    """
    names, wrong = np.asarray(groups, object), approved == (labels == 1)
    return {
        name: [_counts(wrong, (names == name) & (labels == label), weights) for label in (0, 1)]
        for name in sorted(set(names.tolist()) - {""})
    }


def _counts(wrong: np.ndarray, of: np.ndarray, weights: np.ndarray | None) -> list[int]:
    if weights is None or not of.any():
        return [int((wrong & of).sum()), int(of.sum())]
    n = effective(weights[of], int(of.sum()))
    return [round(n * float(np.average(wrong[of], weights=weights[of]))), round(n)]


def calibrate(
    labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(float64[k - 1] cuts, float64[k] rates): the isotonic regression of the labels on cells of the probability.

    Pool adjacent violators: Barlow et al., Statistical Inference under Order Restrictions (1972).
    """
    cuts = np.unique(_quantiles(probabilities, _LEVELS, weights))
    cell = np.searchsorted(cuts, probabilities)
    rows = np.bincount(cell, weights=weights, minlength=len(cuts) + 1).astype(float)
    positives = np.bincount(cell, weights=labels if weights is None else labels * weights, minlength=len(cuts) + 1)
    blocks: list[tuple[float, float, int]] = []  # positives, rows, cells
    for one in zip(positives.tolist(), rows.tolist(), [1] * len(rows), strict=True):
        blocks.append(one)
        while len(blocks) > 1 and blocks[-2][0] * blocks[-1][1] >= blocks[-1][0] * blocks[-2][1]:
            last, before = blocks.pop(), blocks.pop()
            blocks.append((before[0] + last[0], before[1] + last[1], before[2] + last[2]))
    return cuts, np.repeat([p / max(n, 1.0) for p, n, _ in blocks], [k for _, _, k in blocks])


def _quantiles(values: np.ndarray, levels: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    method: Literal["linear", "inverted_cdf"] = "linear" if weights is None else "inverted_cdf"  # which takes weights
    return np.asarray(np.quantile(values, levels, weights=weights, method=method))


def _auc_error(
    labels: np.ndarray, probabilities: np.ndarray, event_ns: np.ndarray, weights: np.ndarray | None
) -> float:
    """Of the mean over tenths of the time, which are nearly independent where rows are not.

    Batch means: Law, Simulation Modeling and Analysis. A tenth without both outcomes is left out; `UNKNOWN` of fewer
    than three.
    """
    tenths = np.array_split(np.argsort(event_ns, kind="stable"), BATCHES)
    found = [
        auc(labels[rows], probabilities[rows], at(weights, rows))
        for rows in tenths
        if len(set(labels[rows].tolist())) > 1
    ]
    return float(np.std(found, ddof=1) / np.sqrt(len(found))) if len(found) > _FEW else UNKNOWN


def _worst_day(loss: np.ndarray, event_ns: np.ndarray, weights: np.ndarray | None) -> float:
    # Rows of one day move together (a storm delays everybody), so what a monitor must tolerate is a day, not a row.
    _, day, rows = np.unique(event_ns // DAY_NS, return_inverse=True, return_counts=True)
    weighted = loss if weights is None else loss * weights
    means = np.bincount(day, weights=weighted) / np.bincount(day, weights=weights)
    return float(np.max(means[rows >= DAY_ROWS], initial=np.average(loss, weights=weights)))


def auc(labels: ArrayLike, scores: ArrayLike, weights: np.ndarray | None = None) -> float:
    """The probability that a positive outranks a negative, a tie counting one half (Mann and Whitney's U / nm).

    With weights: of a positive and a negative of those that the rows stand for.
    """
    positive = np.asarray(labels) == 1
    _, place = np.unique(np.asarray(scores), return_inverse=True)
    each = np.ones(len(place)) if weights is None else weights
    ups, downs = (np.bincount(place, weights=each * of) for of in (positive, ~positive))
    pairs = ups.sum() * downs.sum()
    if not pairs:
        raise ValueError("AUC needs positive and negative labels")
    below = np.cumsum(downs) - downs / 2  # negatives that a positive at that place outranks
    return float((ups * below).sum() / pairs)

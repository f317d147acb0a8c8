"""How much each labelled row counts, where decisions choose who gets a label.

A refusal keeps its truth. Who learns from the rest alone learns of a world with fewer refusals in it than there are:
rates are off, calibration is, and a model looks better than it is. Refusals that were let through at random, each with
a logged probability p, stand for all of them, so each counts 1/p times (Horvitz and Thompson, JASA 1952). Means are
divided by the sum of the weights and not by the number of rows, which costs a bias that vanishes with it and saves more
variance (Hájek, in Godambe and Sprott, Foundations of Statistical Inference, 1971).

No row counts more than `CLIP` times (Ionides, JCGS 2008), so that one label cannot make a model. What that costs is a
bias: refusals let through more seldom than one in `CLIP` are stood for by p · CLIP of them, a share that is too small.
"""

from __future__ import annotations

from typing import Final

import numpy as np

CLIP: Final = 100.0


def representative(
    labels: np.ndarray, refused: np.ndarray | None, propensity: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """(The labels that stand for all traffic, -1 where there is none; float64[n], how much each row counts).

    A refusal's label that came without its having been let through at random (somebody has looked into it, nobody
    knows why into this one) is left out where there is the random slice: it is stood for already.

    Weights are None where every row counts once, for no label is of a refusal that was let through at random.

    Args:
        labels: int64[n], -1: not known.
        refused: bool[n], let through or not; None: unsaid.
        propensity: float64[n], with which probability each was let through; 1: nobody drew it. None: none was.
    """
    if propensity is None or not (propensity[labels >= 0] < 1).any():
        return labels, None
    told = np.ones_like(propensity, dtype=bool) if refused is None else ~refused | (propensity < 1)
    return np.where(told, labels, -1), np.minimum(1 / propensity, CLIP)


def at(weights: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    """The weights of these rows."""
    return None if weights is None else weights[rows]


def effective(weights: np.ndarray | None, n: int) -> float:
    """How many rows of equal weight say as much as these: (sum of w)² / sum of w² (Kish, Survey Sampling, 1965)."""
    return float(n) if weights is None else float(weights.sum() ** 2 / (weights**2).sum())

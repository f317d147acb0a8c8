"""Which row of one run is which row of another: keyed by (stream, index, copy), never by position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from simulator.checks.evidence import Evidence
from simulator.history.schema import History, Outcome, Source

NOBODY: Final = -1
_KEY: Final = ("stream", "index", "copy")


def partners(evidence: Evidence, left: History, right: History) -> np.ndarray:
    """For each item of `left` the position of the same item in `right`, int64[n]; NOBODY where there is none.

    A duplicate delivery that the other run did not see is the same row as the original: it falls back to copy 0.

    Raises:
        ValueError: A key occurs twice in `right`, so that "the same row" has no meaning.
    """
    keys = tuple(history.items[name] for history in (left, right) for name in _KEY)
    return evidence.remember("partners", keys, lambda: _partners(left, right))


def _partners(left: History, right: History) -> np.ndarray:
    n = len(left)
    streams, _ = pd.factorize(np.concatenate([left.items["stream"], right.items["stream"]]))
    index = np.concatenate([left.items["index"], right.items["index"]]).astype(np.int64)
    copy = np.concatenate([left.items["copy"], right.items["copy"]]).astype(np.int64)
    # Dense ranks, so that stream and index fit one integer whatever their range.
    ranks, _ = pd.factorize(index)
    row = streams.astype(np.int64) * (len(ranks) + 1) + ranks
    width = int(copy.max(initial=0)) + 1
    key = row * width + copy
    order = np.argsort(key[n:], kind="stable")
    there = key[n:][order]
    if len(there) > 1 and bool((there[1:] == there[:-1]).any()):
        raise ValueError(f"two items of the {right.header.role} run have the same (stream, index, copy)")
    exact = _lookup(key[:n], there, order)
    original = _lookup(row[:n] * width, there, order)
    return np.asarray(np.where(exact == NOBODY, original, exact))


def _lookup(wanted: np.ndarray, there: np.ndarray, order: np.ndarray) -> np.ndarray:
    if not len(there):
        return np.full(len(wanted), NOBODY, np.int64)
    at = np.minimum(np.searchsorted(there, wanted), len(there) - 1)
    return np.asarray(np.where(there[at] == wanted, order[at], NOBODY))


def equal_scores(a: np.ndarray, b: np.ndarray, tolerance: float) -> np.ndarray:
    """Elementwise: both finite and no further apart than the tolerance."""
    return np.asarray(np.isfinite(a) & np.isfinite(b) & (np.abs(a - b) <= tolerance))


def same_reply(left: History, i: np.ndarray, right: History, j: np.ndarray, tolerance: float) -> np.ndarray:
    """Elementwise: item `i` of left got the reply that item `j` of right got (outcome, score, decision, provenance)."""
    a, b = left.items, right.items
    outcome = a["outcome"][i]
    x, y = a["score"][i], b["score"][j]
    scores = equal_scores(x, y, tolerance) | (~np.isfinite(x) & ~np.isfinite(y))
    answered_alike = scores & np.asarray(a["decision"][i] == b["decision"][j], bool)
    answered_alike &= _own(a["source"][i]) == _own(b["source"][j])
    return np.asarray((outcome == b["outcome"][j]) & ((outcome != Outcome.OK) | answered_alike), bool)


def _own(source: np.ndarray) -> np.ndarray:
    """Where an answer comes from, as far as it matters: the model's own word is that also out of a cache."""
    return np.asarray(np.where(np.isin(source, (Source.MODEL, Source.CACHE)), Source.NONE, source))


@dataclass(frozen=True, slots=True)
class Agreement:
    """How two clean runs compare: pairs, pairs that differ, and per item of the twin whether it differed."""

    pairs: int
    differing: int
    differs: np.ndarray  # bool[len(twin)]

    @property
    def share(self) -> float:
        """Share of pairs that differ; 0 for no pairs, which is a broken premise of its own."""
        return self.differing / self.pairs if self.pairs else 0.0


def agreement(evidence: Evidence, twin: History, aa: History) -> Agreement:
    """The A/A comparison (S8): the twin against a second clean run."""
    columns = tuple(h.items[c] for h in (twin, aa) for c in (*_KEY, "outcome", "score", "decision", "source"))

    def compare() -> Agreement:
        partner = partners(evidence, twin, aa)
        here = np.flatnonzero(partner != NOBODY)
        differs = np.zeros(len(twin), bool)
        differs[here] = ~same_reply(twin, here, aa, partner[here], evidence.tolerance)
        return Agreement(len(here), int(differs.sum()), differs)

    return evidence.remember(f"agreement within {evidence.tolerance!r}", columns, compare)

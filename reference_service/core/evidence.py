"""What one look of a monitor adds: one machine-code call, where numpy would make thirty.

At a tick there are a handful of rows and some fifty rates, so that each numpy call costs more than the arithmetic in
it. Logarithms of means stay in Python: they are asked for where an alarm is near, and nowhere else.
"""

# mypy: disallow-untyped-decorators=False
# (numba ships no types)

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import types

from reference_service.core.kernel import entry

_EACH: Final = types.int64[::1]
_FLAGS: Final = types.boolean[::1]
_EACH2: Final = types.int64[:, ::1]
_NUMBERS: Final = types.float64[::1]
_NUMBERS3: Final = types.float64[:, :, ::1]
_EACH3: Final = types.int64[:, :, ::1]
NEAR: Final = 1  # what `weigh` says, added up
STANDS: Final = 2
LINE: Final = 8  # words of eight bytes to a row of the ledger, and what some of them hold
AT_NS: Final = 2
SCORE: Final = 3  # float64; NaN: refused
SAID: Final = 5  # index of what was said
ASIDE: Final = 0  # what `settle` counts: no model's word, …
DECIDED: Final = 1
REFUSED: Final = 2


@entry(types.int64(_EACH2, _EACH2, _EACH2, _EACH3, types.int64, _NUMBERS3, _FLAGS, _FLAGS, types.float64))
def weigh(  # noqa: PLR0917 - machine code knows no keywords
    counts: Any, window: Any, of: Any, seen: Any, slot: Any, evidence: Any, evident: Any, firing: Any, limit: Any
) -> Any:
    """Take in one look at d rates, and add what was received to its window.

    Returns `NEAR` where the largest product of one that is quiet has reached the limit, plus `STANDS` where an alarm
    stood before the look.

    Good news about a rate that nothing is held against changes nothing.

    Args:
        counts: int64[f, cells] of received values.
        window: the same shape, to be added to.
        of: int64[d, 3]: of each rate the field, the cell of it that is bad, and the one left out, or -1.
        seen: int64[looks, 2, d]: bad ones and all, a ring.
        slot: of the ring, to be written.
        evidence: float64[3, d, steps]: logarithms of the products so far, and what a bad and a good one add to them.
        evident: whether good ones have something to take back.
        firing: rates whose alarm stands are not weighed.
        limit: logarithm of the product that fires.
    """
    found = 0
    for field in range(counts.shape[0]):
        for cell in range(counts.shape[1]):
            window[field, cell] += counts[field, cell]
    for k in range(len(firing)):
        field, total = of[k, 0], 0
        for cell in range(counts.shape[1]):  # an array's own sum takes twice as long over so few
            total += counts[field, cell]
        if of[k, 2] >= 0:
            total -= counts[field, of[k, 2]]
        bad = counts[field, of[k, 1]]
        seen[slot, 0, k], seen[slot, 1, k] = bad, total
        if firing[k]:
            found |= STANDS
        if firing[k] or not (bad > 0 or evident[k]):
            continue
        good = total - bad
        top = -1e300
        for step in range(evidence.shape[2]):
            log = max(evidence[0, k, step], 0.0) + bad * evidence[1, k, step] + good * evidence[2, k, step]
            evidence[0, k, step] = log
            top = max(top, log)
        evident[k] = top > 0
        if top >= limit:
            found |= NEAR
    return found


@entry(types.int64(types.int64[:, :], types.float64))
def ripe(counts: Any, share: Any) -> Any:
    """How many of the oldest intervals have their labels: each its own, or else all of them together; 0: none yet.

    Args:
        counts: int64[2, k] of decisions and of labels, oldest first.
        share: of the decisions that must have their label.
    """
    n = 0
    while n < counts.shape[1] and counts[1, n] >= share * counts[0, n]:
        n += 1
    if n:
        return n
    decided, labels = 0, 0
    for k in range(counts.shape[1]):
        decided += counts[0, k]
        labels += counts[1, k]
        if labels >= share * decided:
            return k + 1
    return 0


@entry(types.void(_NUMBERS, _NUMBERS, _EACH, _NUMBERS, types.float64[:, ::1]))
def spread(scores: Any, deciles: Any, cells: Any, cuts: Any, sums: Any) -> None:
    """Count scores in cells, and add up in others how many they are, the scores, and their squares.

    Args:
        scores: float64[n].
        deciles: float64[k], ascending: between the cells that are counted.
        cells: int64[k + 1], to be added to.
        cuts: float64[j], ascending: between the others.
        sums: float64[3, j + 1], to be added to.
    """
    for score in scores:
        cells[np.searchsorted(deciles, score)] += 1
        place = np.searchsorted(cuts, score)
        sums[0, place] += 1.0
        sums[1, place] += score
        sums[2, place] += score * score


@entry(types.int64(_EACH, _NUMBERS, types.int8[::1], types.int64, types.int64, types.int64, _EACH2))
def settle(lines: Any, numbers: Any, kinds: Any, since: Any, until: Any, width: Any, counts: Any) -> Any:  # noqa: PLR0917 - machine code knows no keywords
    """Count decisions by the interval in which they were made. Returns the first place for which there was no room.

    Args:
        lines: int64[`LINE` n], a ring of n rows as `Ledger` has them: the slot of a place is the place modulo n.
        numbers: the same as float64; a score of NaN: no decision.
        kinds: int8 by what is said: `ASIDE`, `DECIDED` or `REFUSED`.
        since: place of the first.
        until: place after the last.
        width: of an interval.
        counts: int64[k, 3] of zeros, to be written: an interval's start, decisions in it, refusals among them.
    """
    used = last = 0
    for place in range(since, until):
        line = place % (len(lines) // LINE) * LINE
        kind = kinds[lines[line + SAID]]
        if kind == ASIDE or np.isnan(numbers[line + SCORE]):
            continue
        start = lines[line + AT_NS] // width * width
        if used == 0 or counts[last, 0] != start:
            last = 0
            while last < used and counts[last, 0] != start:
                last += 1
            if last == used:
                if used == len(counts):
                    return place
                counts[used, 0] = start
                used += 1
        counts[last, 1] += 1
        counts[last, 2] += kind == REFUSED
    return until


@entry(types.void(_NUMBERS, _NUMBERS, types.int64, _NUMBERS, _EACH))
def roll(scores: Any, latest: Any, place: Any, edges: Any, above: Any) -> None:
    """Write scores over the oldest of the latest, and keep count of how many of those reach each edge.

    Args:
        scores: float64[n].
        latest: float64[k], a ring; NaN where it is not filled yet.
        place: of the next score, ever counted from 0.
        edges: float64[e].
        above: int64[e], to be added to.
    """
    for score in scores:
        slot = place % len(latest)
        for k in range(len(edges)):
            above[k] += int(score >= edges[k]) - int(latest[slot] >= edges[k])
        latest[slot] = score
        place += 1


ENTRIES: Final = (weigh, ripe, spread, settle, roll)

"""What one look adds to the evidence about many rates: one machine-code call, where numpy would make thirty.

At a tick there are a handful of rows and some fifty rates, so that each numpy call costs more than the arithmetic in
it. Logarithms of means stay in Python: they are asked for where an alarm is near, and nowhere else.
"""

# mypy: disallow-untyped-decorators=False
# (numba ships no types)

from __future__ import annotations

from typing import Any, Final

from numba import types

from reference_service.core.cells import NULL_CELL
from reference_service.core.kernel import entry

_EACH: Final = types.int64[::1]
_FLAGS: Final = types.boolean[::1]


@entry(types.void(types.int64[:, ::1], _EACH, _EACH, types.int64, types.int64[:, ::1]))
def tally(counts: Any, of: Any, cell: Any, tails: Any, seen: Any) -> None:
    """Write int64[2, d]: of each rate what counts against it, and out of how many.

    Args:
        counts: int64[f, cells] of received values.
        of: the field of each rate.
        cell: the cell of that field that it is the rate of.
        tails: the first rate that is one of a tail: what is null lies in no tail.
        seen: to be written.
    """
    for k in range(len(of)):
        row = counts[of[k]]
        total = row.sum()
        if k >= tails:
            total -= row[NULL_CELL]
        seen[0, k] = row[cell[k]]
        seen[1, k] = total


@entry(types.boolean(types.int64[:, ::1], types.float64[:, :, ::1], _FLAGS, _FLAGS, types.float64))
def weigh(seen: Any, evidence: Any, evident: Any, firing: Any, limit: Any) -> Any:
    """Take in one look at d rates; whether the largest product of one that is quiet has reached the limit.

    Good news about a rate that nothing is held against changes nothing.

    Args:
        seen: int64[2, d], bad ones and all.
        evidence: float64[3, d, steps]: logarithms of the products so far, and what a bad and a good one add to them.
        evident: whether good ones have something to take back.
        firing: rates whose alarm stands are not weighed.
        limit: logarithm of the product that fires.
    """
    near = False
    for k in range(len(firing)):
        bad = seen[0, k]
        if firing[k] or not (bad > 0 or evident[k]):
            continue
        good = seen[1, k] - bad
        top = -1e300
        for step in range(evidence.shape[2]):
            log = max(evidence[0, k, step], 0.0) + bad * evidence[1, k, step] + good * evidence[2, k, step]
            evidence[0, k, step] = log
            top = max(top, log)
        evident[k] = top > 0
        near |= top >= limit
    return near


ENTRIES: Final = (tally, weigh)

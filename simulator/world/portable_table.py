"""Makes the table behind `portable`: ``python -m simulator.world.portable_table``.

Run once, its product is committed. It calculates with `decimal`, whose results are correctly rounded and therefore
the same on every machine; a test makes the table again and compares it with the committed one byte by byte.

Every function is stored as cubic Hermite pieces, rows of (c0, c1, c2, c3) for ``((c3·t + c2)·t + c1)·t + c0`` with
t in [0, 1) running through one cell.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Context, Decimal, localcontext
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

PATH: Final = Path(__file__).with_name("portable.npy")
LOG2_CELLS: Final = 64  # of m in [1/2, 1)
EXP2_CELLS: Final = 64  # of x in [0, 1)
OCTAVES: Final = 53  # of the tail probability p: octave e holds p in [2**-(e+2), 2**-(e+1))
NORMAL_CELLS: Final = 32  # in each octave

_PRECISION: Final = 60  # digits; the smallest tail probability is 2**-54, or 6e-17
_PI: Final = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")

Node = tuple[Decimal, Decimal]  # a value and its derivative


def make() -> np.ndarray:
    """float64[LOG2_CELLS + EXP2_CELLS + OCTAVES · NORMAL_CELLS, 4], in that order."""
    with localcontext(Context(prec=_PRECISION)):
        pieces = [*_log2(), *_exp2(), *_normal()]
        return np.array([[float(c) for c in piece] for piece in pieces], dtype="<f8")


def write(path: Path = PATH) -> None:
    """Write the table."""
    np.save(path, make(), allow_pickle=False)


def _hermite(nodes: list[Node], width: Decimal) -> Iterator[tuple[Decimal, ...]]:
    """The cubic through each pair of neighbouring nodes that also has their derivatives."""
    for (f0, d0), (f1, d1) in pairwise(nodes):
        a, b, rise = d0 * width, d1 * width, f1 - f0
        yield f0, a, 3 * rise - 2 * a - b, a + b - 2 * rise


def _log2() -> Iterator[tuple[Decimal, ...]]:
    ln2, half, width = Decimal(2).ln(), Decimal(1) / 2, Decimal(1) / (2 * LOG2_CELLS)
    at = [half + k * width for k in range(LOG2_CELLS + 1)]
    return _hermite([(m.ln() / ln2, 1 / (m * ln2)) for m in at], width)


def _exp2() -> Iterator[tuple[Decimal, ...]]:
    ln2, width = Decimal(2).ln(), Decimal(1) / EXP2_CELLS
    values = [(k * width * ln2).exp() for k in range(EXP2_CELLS + 1)]
    return _hermite([(value, value * ln2) for value in values], width)


def _normal() -> Iterator[tuple[Decimal, ...]]:
    """The lower normal quantile z(p), p falling octave by octave from 1/2, rising within each."""
    z = Decimal(0)
    for octave in range(OCTAVES):
        low = Decimal(2) ** -(octave + 2)
        width = low / NORMAL_CELLS
        nodes: list[Node] = []
        for k in reversed(range(NORMAL_CELLS + 1)):  # from above, each node a good start for the next
            z = _quantile(low + k * width, z)
            nodes.append((z, (2 * _PI).sqrt() * (z * z / 2).exp()))  # dz/dp = 1 / density
        yield from _hermite(nodes[::-1], width)


def _quantile(p: Decimal, start: Decimal) -> Decimal:
    """The z ≤ 0 with Φ(z) = p, by Newton's method on log Φ, which is concave and so converges from any start."""
    z, target = start, p.ln()
    while True:
        tail, density = _phi(z)
        step = (tail.ln() - target) * tail / density
        z -= step
        if abs(step) < Decimal("1e-25"):  # one more step would square it
            return z


def _phi(z: Decimal) -> tuple[Decimal, Decimal]:
    """Φ(z) and its density. Φ(z) = 1/2 + φ(z)·(z + z³/3 + z⁵/15 + …), Abramowitz and Stegun 26.2.11."""
    density = (-z * z / 2).exp() / (2 * _PI).sqrt()
    term = total = z
    odd = 1
    while abs(term) > Decimal("1e-55"):
        odd += 2
        term = term * z * z / odd
        total += term
    return Decimal(1) / 2 + density * total, density


if __name__ == "__main__":
    write()

"""Logarithms, exponentials and quantiles that have the same bits on every machine.

libm and the vector units differ in the last place of log, exp and pow, and a plan has to be equal everywhere. Here
everything is a table of cubics (made by `portable_table`, committed, checked against its SHA-256) and the operations
that IEEE 754 defines to the last bit: sum, difference, product, quotient, comparison, floor, frexp, ldexp. Each is a
numpy call of its own, so no compiler can fuse a multiplication with an addition.

Accuracy: about 1e-9, relative for the exponential and absolute for the rest; see the tests.
"""

from __future__ import annotations

import hashlib
import io
from typing import Final

import numpy as np

from simulator.world.portable_table import EXP2_CELLS, LOG2_CELLS, NORMAL_CELLS, PATH

SHA256: Final = "52511a22f3932a5b88b9ec1dc8a974c14feefcb97f0f92103664f0b8b031518b"
LN2: Final = 0.6931471805599453
_LOG2E: Final = 1.4426950408889634
_HALF_STEP: Final = 2.0**-54


class TableAlteredError(RuntimeError):
    """The committed table is not the one this code was tested with."""


def _load() -> np.ndarray:
    raw = PATH.read_bytes()
    if hashlib.sha256(raw).hexdigest() != SHA256:
        raise TableAlteredError(f"{PATH.name} is not the committed table; restore it or reinstall")
    return np.ascontiguousarray(np.load(io.BytesIO(raw), allow_pickle=False).astype(np.float64).T)


_COEFFICIENTS: Final = _load()
_EXP2_FROM: Final = LOG2_CELLS
_NORMAL_FROM: Final = LOG2_CELLS + EXP2_CELLS


def _cubic(cell: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Piece number `cell` of the table at `t` in [0, 1)."""
    c0, c1, c2, c3 = _COEFFICIENTS
    value: np.ndarray = c3.take(cell)
    for c in (c2, c1, c0):
        value *= t
        value += c.take(cell)
    return value


def _cells(position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The cell that a non-negative position lies in, and how far into it."""
    cell = position.astype(np.int64)
    return cell, position - cell


def log2(x: np.ndarray) -> np.ndarray:
    """Binary logarithm of positive finite numbers."""
    mantissa, exponent = np.frexp(np.asarray(x, dtype=np.float64))
    cell, t = _cells((mantissa - 0.5) * (2.0 * LOG2_CELLS))
    return _cubic(cell, t) + exponent


def log(x: np.ndarray) -> np.ndarray:
    """Natural logarithm of positive finite numbers."""
    return log2(x) * LN2


def exp2(x: np.ndarray) -> np.ndarray:
    """2**x for |x| below 1000."""
    whole = np.floor(x)
    cell, t = _cells((x - whole) * EXP2_CELLS)
    scaled: np.ndarray = np.ldexp(_cubic(_EXP2_FROM + cell, t), whole.astype(np.int32))
    return scaled


def exp(x: np.ndarray) -> np.ndarray:
    """e**x for |x| below 690."""
    return exp2(np.asarray(x, dtype=np.float64) * _LOG2E)


def logistic(x: np.ndarray) -> np.ndarray:
    """1 / (1 + e**-x) for |x| below 690."""
    chance: np.ndarray = 1.0 / (1.0 + exp(-np.asarray(x, dtype=np.float64)))
    return chance


def exponential_quantile(u: np.ndarray) -> np.ndarray:
    """The standard exponential's quantile, -ln(1 - u), for u in [0, 1)."""
    return -log(1.0 - np.asarray(u, dtype=np.float64))


def normal_quantile(u: np.ndarray) -> np.ndarray:
    """The standard normal's quantile for u in [0, 1), read as the middle of its step of 2**-53.

    By symmetry only the lower tail is tabulated: octaves of the tail probability, equal cells in each.
    """
    u = np.asarray(u, dtype=np.float64)
    upper = u >= 0.5  # noqa: PLR2004 - the median
    tail = np.where(upper, (1.0 - u) - _HALF_STEP, u + _HALF_STEP)
    mantissa, exponent = np.frexp(tail)
    cell, t = _cells((mantissa - 0.5) * (2.0 * NORMAL_CELLS))
    lower = _cubic(_NORMAL_FROM - (exponent.astype(np.int64) + 1) * NORMAL_CELLS + cell, t)
    return np.where(upper, -lower, lower)

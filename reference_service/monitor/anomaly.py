"""How unusual a row is: the histogram-based outlier score, in bits a feature.

The mean over the features of -log2 of the share that the value's cell has in the training window: Goldstein and
Dengel, Histogram-based Outlier Score (HBOS), KI-2012. A share of zero counts as half a row of that window. It takes the
features as independent, which is what makes it cheap enough to be written down for every decision.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reference_service.bundle import Bundle


class Anomaly:
    """The score of any version's rows; what depends on the version alone is computed once."""

    __slots__ = ("_bits",)

    def __init__(self) -> None:
        self._bits: dict[str, np.ndarray] = {}  # bundle's digest → float64[f * 256]

    def __call__(self, bundle: Bundle, rows: Sequence[bytes]) -> list[float]:
        """Bits per feature of each row, float64[f] of what was received, to three decimals. Typical: 2 to 4."""
        bits = self._bits.get(bundle.digest)
        if bits is None:
            bits = self._bits[bundle.digest] = bits_of(bundle).ravel()
        values = np.frombuffer(b"".join(rows)).reshape(len(rows), len(bundle.contract.fields))
        # What np.round does, without its ways to it, which take longer than the few rows of a block.
        scores: list[float] = (np.rint(bundle.mean_over_fields(values, bits) * 1000.0) / 1000.0).tolist()
        return scores


def bits_of(bundle: Bundle) -> np.ndarray:
    """float64[f, 256]: bits of every code of every field."""
    shares = np.maximum(bundle.profile.cell_shares, 0.5 / max(1, bundle.profile.n_reference))
    return np.asarray(-np.log2(np.take_along_axis(shares, bundle.cells().astype(np.int64), axis=1)))

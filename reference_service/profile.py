"""The training window as the monitors and the fallback know it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

import msgspec
import numpy as np


@dataclass(frozen=True, slots=True)
class Profile:
    """The reference of one model version. Features in contract order, cells as in `core/cells.py`."""

    n_reference: int  # rows of the training window
    cell_shares: np.ndarray  # float64[f, 14], each row sums to 1
    hourly_n: np.ndarray  # int64[24], rows of the window by hour of day, UTC
    hourly_shares: np.ndarray  # float64[24, f, 14]; 0 where an hour has no rows
    null_shares: np.ndarray  # float64[f]
    typical: np.ndarray  # float64[f], the median of a number, the ordinal of the most common category
    score_deciles: np.ndarray  # float64[9], of the probabilities of the held-out rows
    calibration_cuts: np.ndarray  # float64[k - 1], ascending: between k cells of the probability
    calibration: np.ndarray  # float64[k], what a probability of that cell is worth: isotonic, of the held-out rows
    positive_rate: float  # of the held-out rows
    brier: float  # of the held-out rows
    auc: float  # of the held-out rows
    fallback_field: str  # the category that the heuristic looks at
    fallback_rates: Mapping[str, float]  # category → positive rate in training
    fallback_otherwise: float  # null or unseen
    auc_error: float = 1.0  # its standard error, over tenths of their time; 1 where it is not known
    # Category of the policy's group field → (wrong, of) of its negatives, and of its positives, among held-out rows.
    group_errors: Mapping[str, Sequence[Sequence[int]]] = field(default_factory=dict)


def to_json(profile: Profile) -> bytes:
    """The profile as JSON; floats are written so that reading gives the same bits."""
    plain = {each.name: getattr(profile, each.name) for each in fields(Profile)}
    return msgspec.json.encode(
        {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in plain.items()}
    )


def from_json(data: bytes) -> Profile:
    """Read what `to_json` wrote. ValueError if it is something else."""
    return msgspec.json.decode(data, type=Profile, dec_hook=_array)


def _array(kind: type, value: object) -> np.ndarray:
    if kind is np.ndarray:
        return np.array(value)
    raise NotImplementedError(kind)

"""Scenario × seed → the exogenous plan: who sends what when, in chunks ordered by scheduled time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive items of a plan, ordered by (scheduled_ns, request, row); a request never spans chunks.

    `sent` are the columns as clients send them; `overrides[i]` replaces row i by a whole record where a
    disturbance changed its representation (keys may be missing, added or renamed, values of any JSON type;
    float NaN stands for a bare NaN token). Bit k of `touched`: event k of the scenario touches the item; of
    `potent`: it really changed what is sent (or when, or its truth).
    """

    stream: np.ndarray  # object[n] of str
    index: np.ndarray  # int64[n]
    copy: np.ndarray  # int16[n]
    request: np.ndarray  # int64[n], ordinal in the whole plan, dense from 0 in scheduled order
    row: np.ndarray  # int16[n]
    entity: np.ndarray  # int64[n]
    segment: np.ndarray  # object[n]
    event_ns: np.ndarray  # int64[n]
    scheduled_ns: np.ndarray  # int64[n]
    touched: np.ndarray  # uint64[n]
    potent: np.ndarray  # uint64[n]
    truth: np.ndarray  # int8[n]
    label_due_ns: np.ndarray  # int64[n], absolute; -1 never
    retry_u: np.ndarray  # float64[n], pre-drawn uniform for reaction rules
    sent: dict[str, np.ndarray]
    overrides: dict[int, dict[str, Any]]

    def __len__(self) -> int:
        return len(self.index)

"""Items of a plan, columnar: what a stream makes, what a plan is cut into, what a codec encodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
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
    reported: np.ndarray  # int8[n], what the label says when it comes
    label_due_ns: np.ndarray  # int64[n], absolute; -1 never
    retry_u: np.ndarray  # float64[n], pre-drawn uniform for reaction rules
    react_u: np.ndarray  # float64[n], the same for how people react to a decision
    sent: dict[str, np.ndarray]
    overrides: dict[int, dict[str, Any]]

    def __len__(self) -> int:
        return len(self.index)


COLUMNS = tuple(field.name for field in fields(Chunk) if field.name not in {"sent", "overrides"})


def joined(chunks: Sequence[Chunk]) -> Chunk:
    """The items of all chunks, one after the other; at least one chunk."""
    if len(chunks) == 1:
        return chunks[0]
    overrides: dict[int, dict[str, Any]] = {}
    offset = 0
    for chunk in chunks:
        overrides |= {offset + i: record for i, record in chunk.overrides.items()}
        offset += len(chunk)
    return Chunk(
        **{name: np.concatenate([getattr(chunk, name) for chunk in chunks]) for name in COLUMNS},
        sent={name: np.concatenate([chunk.sent[name] for chunk in chunks]) for name in chunks[0].sent},
        overrides=overrides,
    )


def taken(chunk: Chunk, items: np.ndarray) -> Chunk:
    """The items at these positions (int64[m]), in this order; a position may come twice."""
    overrides = chunk.overrides
    if overrides:
        overrides = {new: overrides[old] for new, old in enumerate(items.tolist()) if old in overrides}
    return Chunk(
        **{name: getattr(chunk, name)[items] for name in COLUMNS},
        sent={name: column[items] for name, column in chunk.sent.items()},
        overrides=overrides,
    )


def part(chunk: Chunk, first: int, last: int) -> Chunk:
    """The items [first, last), as views."""
    return Chunk(
        **{name: getattr(chunk, name)[first:last] for name in COLUMNS},
        sent={name: column[first:last] for name, column in chunk.sent.items()},
        overrides={i - first: record for i, record in chunk.overrides.items() if first <= i < last},
    )

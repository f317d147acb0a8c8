"""Prior shift: other shares of outcomes, each outcome looking as it always did.

Each row concerned draws the outcome that it is to have. Where it has another one, the first of its own line of further
rows that has it takes its place: so P(row | outcome) stays the population's own, by construction (rejection sampling),
and rows whose outcome is right already stay as they were.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from simulator.scenario.verbs import Event
from simulator.world.keyed import Draw
from simulator.world.population import Population, Rows, Truth

_LINE: Final = 2**16  # rows in each line: enough for an outcome of one in five thousand, and then some
_AT_ONCE: Final = 8192


def line(draw: Draw, event: Event) -> Draw:
    """The draw of all rows that may take another's place."""
    return Draw(draw.seed, f"{draw.stream}:{event.event}")


def replacements(
    population: Population, draw: Draw, event: Event, *, index: np.ndarray, event_ns: np.ndarray, truth: Truth
) -> np.ndarray:
    """int64[n]: the index (of `line`) of the row that takes the place of each of these, or -1 where it may stay.

    Raises:
        ValueError: A whole line has no row of the outcome.
    """
    wanted = (draw.uniform(f"prior {event.event}", index) < event.params.to).astype(np.int8)
    found = np.full(len(index), -1, dtype=np.int64)
    open_ = np.flatnonzero((truth.label >= 0) & (truth.label != wanted))
    others, tried = line(draw, event), 0
    while len(open_):
        width = min(max(1, _AT_ONCE // len(open_)), _LINE - tried)
        if width == 0:
            raise ValueError(f"event {event.event}: among {_LINE} rows none has the outcome that it asks for")
        candidate = (index[open_, None] * _LINE + np.arange(tried, tried + width)).ravel()
        rows = population.rows(others, candidate, np.repeat(event_ns[open_], width))
        label = population.truth(others, candidate, rows).label.reshape(len(open_), width)
        fits = label == wanted[open_, None]
        first, some = fits.argmax(axis=1), fits.any(axis=1)
        found[open_[some]] = candidate.reshape(len(open_), width)[some, first[some]]
        open_, tried = open_[~some], tried + width
    return found


def replaced(rows: Rows, others: Rows, where: np.ndarray) -> Rows:
    """The rows, with those of `others` (same length) where it says so."""
    columns = {name: np.where(where, others.sent[name], column) for name, column in rows.sent.items()}
    latent = {name: np.where(where, others.latent[name], column) for name, column in rows.latent.items()}
    entity = np.where(where, others.entity, rows.entity)
    return replace(
        rows, entity=entity, segment=np.where(where, others.segment, rows.segment), sent=columns, latent=latent
    )


def replaced_truth(truth: Truth, others: Truth, where: np.ndarray) -> Truth:
    """The truths, with those of `others` where it says so."""
    label = np.where(where, others.label, truth.label)
    return Truth(label, np.where(where, others.label_after_ns, truth.label_after_ns))

"""Who comes first in the world that a scenario's seed makes: by that a run shows of which seed it is, whatever it says.

A broken harness that sends another seed's customers in all its runs alike makes evidence that agrees with itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from simulator.history.schema import History
from simulator.plan import plan
from simulator.scenario.model import Scenario
from simulator.world.population import Population

_HEAD: Final = 64  # rows; of another seed, each is of another customer or another moment


class Drawn(msgspec.Struct, frozen=True, array_like=True):
    """One row of the main stream: its index, and what no event can change of it (S11)."""

    index: int
    entity: int
    event_ns: int


def head(scenario: Scenario, population: Population) -> tuple[Drawn, ...]:
    """The first rows of the main stream, as its seed draws them; fewer where it has fewer."""
    chunk = next(plan(scenario.clean(), population, chunk_rows=_HEAD), None)
    if chunk is None:
        return ()
    rows = zip(chunk.index.tolist(), chunk.entity.tolist(), chunk.event_ns.tolist(), strict=True)
    return tuple(Drawn(*row) for row in rows)[:_HEAD]


def astray(drawn: tuple[Drawn, ...], runs: Mapping[str, History]) -> str:
    """Which of the runs is not of the world that was drawn, in words; empty if all are."""
    if not drawn:
        return "nobody wrote down which customers the scenario's seed sends"
    meant = {one.index: (one.entity, one.event_ns) for one in drawn}
    for role, history in runs.items():
        items = history.items
        first = (items["stream"] == "main") & (items["copy"] == 0) & (items["index"] <= max(meant))
        columns = (items[name][first].tolist() for name in ("index", "entity", "event_ns", "touched"))
        came = [row for row in zip(*columns, strict=True) if row[0] in meant]
        # A prior shift puts somebody else in a customer's place, at the same moment.
        if not came or any(meant[k] != (meant[k][0] if touched else who, at) for k, who, at, touched in came):
            return f"the customers of the {role} run are not those that the scenario's seed sends"
    return ""

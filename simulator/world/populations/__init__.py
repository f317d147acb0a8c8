"""The productions that scenarios can name, and the training data that goes with each.

Two functions are the whole interface::

    population = get("payments")          # rows and truth of any stream, see `simulator.world.population`
    rows, truth = training("payments")    # what a model may be trained on: (Rows, Truth), columnar

`training` is fixed: its rows come from a stream of their own under a seed of their own (`payments`) or from
January to March of the record (`flights`), so that no scenario ever replays a row that a model was trained on.
Columns:

* ``rows.sent[name]`` for every ``Field`` of ``population.fields``, in that order: the request's features. The
  entity (``customer_id``, ``flight_id``) is one of them, an ``integer`` Field that is no feature. Numbers, integers
  and booleans are float64 (null is NaN), categories are object arrays of ``str | None``.
* ``rows.latent[name]``: what the feature store knows (`payments`: the columns of `payments.customers()`, taken at
  ``customer_id``; `flights`: none).
* ``truth.label``: 1 fraud or late, 0 not, -1 never known (cancelled or diverted flights: leave them out).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from simulator.scenario.errors import BadInput, Problem
from simulator.scenario.load import Cell
from simulator.scenario.model import Traffic
from simulator.world.population import Population, Recorded, Rows, Truth

NAMES: Final = ("flights", "payments")


def get(name: str, beside: Path | None = None) -> Population:
    """The population of that name: one of our own, or ``populations/<name>.population.yaml`` in the folder `beside`.

    Raises:
        ValueError: There is none of that name; those that exist are named.
        BadInput: A population file, or its data, is wrong.
    """
    if name == "payments":
        from simulator.world.populations import payments  # noqa: PLC0415 - only what is asked for is loaded

        return payments.POPULATION
    if name == "flights":
        from simulator.world.populations import flights  # noqa: PLC0415 - only what is asked for is loaded

        return flights.POPULATION
    file = None if beside is None else beside / "populations" / f"{name}.population.yaml"
    if file is not None and file.is_file():
        from simulator.world.populations import recorded  # noqa: PLC0415 - only what is asked for is loaded

        return recorded.load(file)
    msg = f"there is no population {name!r}; there are {', '.join(NAMES)}"
    raise ValueError(f"{msg}, and no {file}" if file else msg)


def population_of(cell: Cell) -> Population:
    """The population that the cell names. Raises BadInput if there is none, or its files are wrong."""
    try:
        return get(cell.scenario.given.population, cell.path.parent)
    except ValueError as error:
        line = cell.lines.get("given", 1)
        raise BadInput([Problem("unknown-population", str(error), str(cell.path), line)]) from error


def misfit(population: Population, traffic: Traffic) -> str:
    """Why the population cannot produce that traffic, and what to write instead; empty if it can."""
    if traffic.replay is None:
        recorded = f"the population {population.name} is recorded; give its traffic as `replay: {{from, to}}`"
        return recorded if isinstance(population, Recorded) else ""
    if not isinstance(population, Recorded):
        return f"the population {population.name} is synthetic and cannot be replayed; give `rate` and `for`"
    try:
        population.slice(traffic.replay.start, traffic.replay.end)
    except ValueError as error:
        return str(error)
    return ""


def training(name: str) -> tuple[Rows, Truth]:
    """The rows and truths on which models of that population are trained; the same on every call and machine."""
    if name == "payments":
        from simulator.world.populations import payments  # noqa: PLC0415 - only what is asked for is loaded

        return payments.training()
    if name == "flights":
        from simulator.world.populations import flights  # noqa: PLC0415 - only what is asked for is loaded

        return flights.training()
    msg = f"there is no population {name!r}; there are {', '.join(NAMES)}"
    raise ValueError(msg)

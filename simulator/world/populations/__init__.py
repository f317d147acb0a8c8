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

from simulator.world.population import Population, Rows, Truth

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

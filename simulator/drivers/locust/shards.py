"""Which worker sends which request: by ordinal, in turn, so that a burst is spread evenly.

A shard is in scheduled order, since the plan is; the shards of a plan are a partition of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from simulator.drivers.locust.frames import Shipment
from simulator.drivers.record import Planned

PARCEL: Final = 512  # requests shipped at a time: about a quarter of a megabyte


def worker_of(request: int, workers: int) -> int:
    """The worker that sends the request of that ordinal."""
    return request % workers


def parcels(
    plan: Sequence[Planned], workers: int, first: int, last: int, way: Callable[[Planned], int] = lambda _: -1
) -> Iterator[tuple[int, list[Shipment]]]:
    """(worker, shipments) of the requests [first, last), at most `PARCEL` at a time, each worker's in order.

    `way` says which of the job's ways a request takes; -1: straight.
    """
    for worker in range(workers):
        start = first + (worker - first) % workers
        mine = [
            Shipment(k, plan[k].scheduled_ns, plan[k].body, plan[k].key, plan[k].retry_u, way(plan[k]))
            for k in range(start, last, workers)
        ]
        for i in range(0, len(mine), PARCEL):
            yield worker, mine[i : i + PARCEL]

"""When rows happen: blocks of (index, event_ns), in order, without end in memory.

The gap before candidate k is a keyed draw of k alone, so arrivals do not depend on the size of the blocks, and a
stream of load leaves every other stream where it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from simulator.scenario.quantities import HOUR, SECOND
from simulator.world import portable
from simulator.world.keyed import Draw
from simulator.world.population import Slice

# Traffic by hour of the run's day, relative to the mean (they sum to 24); between the hours it changes linearly.
DAILY: Final = (
    0.42, 0.30, 0.24, 0.22, 0.25, 0.36, 0.60, 0.92, 1.16, 1.27, 1.32, 1.38,
    1.40, 1.34, 1.30, 1.28, 1.32, 1.42, 1.54, 1.60, 1.52, 1.26, 0.93, 0.65,
)  # fmt: skip
_PROFILE: Final = np.array([*DAILY, DAILY[0]])
_PEAK: Final = max(DAILY)


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive arrivals of one stream."""

    index: np.ndarray  # int64[n]
    event_ns: np.ndarray  # int64[n], ascending


@dataclass(frozen=True, slots=True)
class Pace:
    """A synthetic stream: `rate` per second (over a whole day, if the rhythm is daily) in [start_ns, end_ns).

    With `ramp_ns` it grows to that rate from nothing, linearly, in that time.
    """

    rate: float
    start_ns: int
    end_ns: int
    arrivals: Literal["poisson", "regular"] = "poisson"
    rhythm: Literal["flat", "daily"] = "flat"
    ramp_ns: int = 0


def paced(draw: Draw, pace: Pace, block: int) -> Iterator[Block]:
    """Arrivals at that pace, numbered from 0, at most `block` at a time. Regular ones start half a gap in.

    Daily rhythm and ramp are thinned out of a stream at its peak rate (Lewis and Shedler, 1979: exact for Poisson).
    """
    peak = pace.rate * (_PEAK if pace.rhythm == "daily" else 1.0)
    candidate, now, kept = 0, pace.start_ns, 0
    while True:
        number = np.arange(candidate, candidate + block, dtype=np.int64)
        if pace.arrivals == "poisson":
            gaps = portable.exponential_quantile(draw.uniform("arrival", number)) * (SECOND / peak)
            times = now + np.cumsum(np.rint(gaps).astype(np.int64))
            now = int(times[-1])
        else:
            times = pace.start_ns + np.rint((number + 0.5) * (SECOND / peak)).astype(np.int64)
        inside = times < pace.end_ns
        if pace.rhythm == "daily":
            kept_here = inside & (draw.uniform("rhythm", number) * _PEAK < daily(times))
        else:
            kept_here = inside
        if pace.ramp_ns:
            grown = draw.uniform("ramp", number) * pace.ramp_ns < times - pace.start_ns
            kept_here = kept_here & grown
        times = times[kept_here]
        if len(times):
            yield Block(np.arange(kept, kept + len(times), dtype=np.int64), times)
        if not inside[-1]:
            return
        candidate += block
        kept += len(times)


def replayed(part: Slice, event_ns: np.ndarray, block: int) -> Iterator[Block]:
    """The rows of a record at their own times; `event_ns` are theirs by the record's clock, the run starts at 0."""
    for first in range(0, part.last - part.first, block):
        index = np.arange(part.first + first, min(part.first + first + block, part.last), dtype=np.int64)
        yield Block(index, event_ns[first : first + block] - part.start_ns)


def daily(at_ns: np.ndarray) -> np.ndarray:
    """The rate of the daily rhythm at these times, relative to its mean."""
    position = (at_ns % (24 * HOUR)) / HOUR
    hour = np.floor(position)
    low = _PROFILE[hour.astype(np.int64)]
    rate: np.ndarray = low + (_PROFILE[hour.astype(np.int64) + 1] - low) * (position - hour)
    return rate

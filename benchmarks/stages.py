"""Which stage of a request a sample belongs to, and the shares of stages with their sampling error.

A safeguard is whatever a good request would be answered without, in the same bytes: validation, guards, monitors, the
decision log, and the judging of releases. Serving is the rest. Where one line does both, it is a safeguard's; what the
kernel does for a line is that line's. Reading is the one thing that cannot be told apart by looking: the JSON decoder
validates as it reads, and who checks nothing has to bring the values into the contract's order as well. It is divided
by measurement: see `safeguard_cost`.
"""

from __future__ import annotations

import linecache
import math
from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple

from benchmarks.sampled import ROOT, Frame

LOOP: Final = "event loop, polling, reading sockets"
READ: Final = "reading: JSON to a row"
CHECKS: Final = "validation"
SAFEGUARDS: Final = (CHECKS, "guards", "monitors", "decision log", "releases")
SERVING: Final = (LOOP, "writing to sockets", "HTTP", READ, "scoring", "reply", "pipeline and core")

# Words of a line that say whose it is, wherever a file serves more than one master. The first that fits.
LINES: Final = {
    "reference_service/server/": (
        ("_transport.write(", "writing to sockets"),
        ("written", "decision log"),
        ("held", "decision log"),
        ("limiter", "guards"),
        ("counters", "monitors"),
    ),
    "reference_service/pipeline": (
        ("ordinary.read(", READ),  # letting go of what was decoded
        ("Decision(", "decision log"),
        ("loaded.tag", "decision log"),
        ("log.", "decision log"),
        ("counters", "monitors"),
        ("inputs", "monitors"),
        ("ledger", "monitors"),
        ("trial", "releases"),
        ("deadline_ns", "guards"),
        ("distrusted", "guards"),
        ("probability", "scoring"),
        ("decide(", "scoring"),
    ),
    "reference_service/api/core": (
        ("_SPECIAL", "guards"),
        ("counters", "monitors"),
        ("limiter", "guards"),
        ("log.durable", "decision log"),
        ("committed", "decision log"),
    ),
    "reference_service/monitor/received": (("_pack(", "scoring"),),  # the row that the model is given
    "reference_service/release/registry": (("isfinite", "guards"), ("type(margin)", "guards")),
}
# By the beginning of the path; the longest that fits.
FILES: Final = {
    "reference_service/server/": "HTTP",
    "reference_service/api/": "pipeline and core",
    "reference_service/api/oip": "reply",
    "reference_service/api/ordinary": READ,
    "reference_service/api/form": READ,
    "reference_service/api/keyed": "guards",
    "reference_service/pipeline": "pipeline and core",
    "reference_service/noted": "monitors",
    "reference_service/": "pipeline and core",
    "reference_service/validation": CHECKS,
    "reference_service/values": CHECKS,
    "reference_service/guards/": "guards",
    "reference_service/monitor/": "monitors",
    "reference_service/service": "monitors",  # the tick
    "reference_service/audit/": "decision log",
    "reference_service/release/": "releases",
    "reference_service/release/registry": "scoring",  # the bare model call
    "reference_service/commands/": LOOP,
    "reference_service/__main__": LOOP,
}
_WHOEVER_CALLS: Final = ("reference_service/core/", "reference_service/bundle", "reference_service/clock")
_SCORING: Final = frozenset({"pipeline and core", "releases", "guards"})  # who has the kernel score a request's row


def stage(stack: tuple[Frame, ...]) -> str:
    """Of the innermost frame; the kernel and the bundle work for whoever called them."""
    lent = False
    for file, _, line in reversed(stack):
        if file.startswith(_WHOEVER_CALLS):
            lent = True
            continue
        found = _of(file, line)
        return "scoring" if lent and found in _SCORING else found
    return LOOP


def _of(file: str, line: int) -> str:
    for start, words in LINES.items():
        if file.startswith(start):
            text = linecache.getline(str(ROOT / file), line)
            for word, found in words:
                if word in text:
                    return found
    return FILES[max((start for start in FILES if file.startswith(start)), key=len)]


class Share(NamedTuple):
    """A share of the samples, and the interval in which it lies with 95 %."""

    share: float
    low: float
    high: float


def wilson(hits: int, n: int) -> Share:
    """Wilson's score interval (Wilson, JASA 22, 1927): samples are taken to be independent of one another."""
    z = 1.959964
    p, square = hits / n, z * z / n
    middle, half = (p + square / 2) / (1 + square), z * math.sqrt(p * (1 - p) / n + square / n / 4) / (1 + square)
    return Share(p, max(0.0, middle - half), min(1.0, middle + half))


def by_stage(stacks: Iterable[tuple[tuple[Frame, ...], int]], checks: float) -> Counter[str]:
    """Samples by stage.

    Args:
        stacks: as `sampled.Samples` has them.
        checks: share of the time of reading that is validation.
    """
    found: Counter[str] = Counter()
    for stack, count in stacks:
        found[stage(stack)] += count
    reading = found[READ]
    found[READ] = reading - round(reading * checks)
    found[CHECKS] += round(reading * checks)
    return found

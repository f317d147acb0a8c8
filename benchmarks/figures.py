"""One JSON line a figure, the same keys everywhere."""

from __future__ import annotations

import json
import resource
import statistics
from collections.abc import Sequence
from pathlib import Path


def show(name: str, ours: Sequence[float], peer: Sequence[float], *, peer_name: str, unit: str) -> None:
    """Print the medians of paired measurements, and the ratio ours/peer pair by pair: median, (lowest, highest)."""
    ratios = sorted(a / b for a, b in zip(ours, peer, strict=True))
    line = {
        "name": name,
        "ours": round(statistics.median(ours), 4),
        "peer": round(statistics.median(peer), 4),
        "peer_name": peer_name,
        "ratio": round(statistics.median(ratios), 4),
        "interval": [round(ratios[0], 4), round(ratios[-1], 4)],
        "unit": unit,
        "n": len(ratios),
    }
    print(json.dumps(line), flush=True)


def mebibytes() -> float:
    """Memory in use by this process now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20

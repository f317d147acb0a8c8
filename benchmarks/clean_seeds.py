"""How often a service that nothing is wrong with is refused: clean runs, one per seed, each judged as any other.

    python -m benchmarks.clean_seeds [seeds] [first seed]

Ten requests a second, so that every window of two minutes holds enough rows for drift to be judged. One line is
printed: how many runs were refused (a false alarm), how many decided nothing, and the 99 % upper bound (Clopper and
Pearson) of the false-alarm rate per run that this many runs allow to claim.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks.benign import line
from simulator.campaign.engine import campaign
from simulator.campaign.tally import Row
from simulator.scenario.load import load

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "scenarios/targets/payments.target.yaml"
SCENARIO = """
seatrial: 1
title: A clean morning
seed: 0
given:
  population: payments
  traffic: {rate: 10/s, for: 8m}
  labels: {delay: {median: 1m, p95: 4m}}
  warmup: 1m
then:
  - {id: quiet, no_alert: any}
  - {id: up, error_rate: {max: 0.5%}}
"""


def tried(seeds: Iterable[int]) -> Row:
    """One clean run for each seed, counted."""
    with tempfile.TemporaryDirectory(prefix="seatrial-") as folder:
        path = Path(folder) / "clean_morning.scenario.yaml"
        path.write_text(SCENARIO)
        (row,) = campaign(load(path), list(seeds), out=Path(folder), target=TARGET).rows
    return row


def main() -> None:
    """Print the line."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 1  # noqa: PLR2004 - the second argument
    began = time.monotonic()
    said = line("clean_seeds", tried(range(first, first + runs)))
    print(json.dumps(said | {"seconds": round(time.monotonic() - began)}), flush=True)


if __name__ == "__main__":
    main()

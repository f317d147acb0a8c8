"""How often a service is refused on days on which nothing is wrong, or nothing that should matter.

    python -m benchmarks.benign [seeds] [first seed] [part of a name]

Every benign day of `scenarios/campaign/benign` and `tests/scenario/days`, on so many seeds, each judged as any other
scenario. One line is printed for each day: how many seeds were refused, how many decided nothing, and the 99 % upper
bound (Clopper and Pearson) of the rate at which that day is refused, that so many runs allow to claim.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from simulator.checks.statistics import clopper_pearson
from simulator.scenario.load import discover, load
from simulator.trial import certify
from simulator.verdict import Status

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = (ROOT / "scenarios/campaign/benign", ROOT / "tests/scenario/days")


def days(part: str = "") -> list[Path]:
    """The files of all benign days whose name has that part."""
    return [path for path in discover(FOLDERS) if part in path.name]


def campaign(path: Path, seeds: Iterable[int]) -> dict[int, Status]:
    """The status of one day for each seed."""
    found = {}
    for seed in seeds:
        with tempfile.TemporaryDirectory(prefix="seatrial-") as folder:  # evidence of a hundred days would fill a disk
            found[seed] = certify(load(path), out=Path(folder) / "out", seed=seed).status
    return found


def main() -> None:
    """Print the lines."""
    runs, first = ([int(argument) for argument in sys.argv[1:3]] + [100, 1][len(sys.argv) - 1 :])[:2]
    for path in days(sys.argv[3] if len(sys.argv) > 3 else ""):  # noqa: PLR2004 - the third argument
        began = time.monotonic()
        found = campaign(path, range(first, first + runs))
        refused = sorted(seed for seed, status in found.items() if status is Status.FAIL)
        line = {
            "name": f"benign.{path.name.partition('.')[0]}",
            "runs": runs,
            "refused": len(refused),
            "undecided": sum(status is Status.UNKNOWN for status in found.values()),
            "refused_at_most": round(clopper_pearson(len(refused), runs)[1], 6),
            "seeds_refused": refused,
            "seconds": round(time.monotonic() - began),
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()

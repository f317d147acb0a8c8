"""How often a service is refused on days on which nothing is wrong, or nothing that should matter.

    python -m benchmarks.benign [seeds] [first seed] [part of a name]

Every scenario in virtual time that is tagged `benign`, on so many seeds, each judged as any other. One line is printed
for each day: how many seeds were refused, how many decided nothing, and the 99 % upper bound (Clopper and Pearson) of
the rate at which that day is refused, that so many runs allow to claim.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks import shipped
from simulator.campaign.engine import campaign
from simulator.campaign.tally import Row
from simulator.scenario.load import discover, load
from simulator.verdict import Status

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = (ROOT / "scenarios", ROOT / "tests/scenario/days")


def days(part: str = "") -> list[Path]:
    """The files of all benign days whose name has that part."""
    return [path for path in discover(FOLDERS) if part in path.name and "benign" in load(path)[0].scenario.tags]


def tried(path: Path, seeds: Iterable[int]) -> Row:
    """One day under each seed, counted."""
    with tempfile.TemporaryDirectory(prefix="seatrial-") as folder:
        (row,) = campaign(load(path), list(seeds), out=Path(folder)).rows
    return row


def line(name: str, row: Row) -> dict[str, object]:
    """What is printed of a day."""
    return {
        "name": name,
        "runs": row.certified + row.refused + row.undecided,
        "refused": row.refused,
        "undecided": row.undecided,
        "refused_at_most": round(row.at_most, 6),
        "seeds_refused": [run.seed for run in row.repeat if run.status is Status.FAIL],
    }


def main() -> None:
    """Print the lines."""
    shipped.bundles("payments")
    runs, first = ([int(argument) for argument in sys.argv[1:3]] + [100, 1][len(sys.argv) - 1 :])[:2]
    for path in days(sys.argv[3] if len(sys.argv) > 3 else ""):  # noqa: PLR2004 - the third argument
        began = time.monotonic()
        said = line(f"benign.{path.name.partition('.')[0]}", tried(path, range(first, first + runs)))
        print(json.dumps(said | {"seconds": round(time.monotonic() - began)}), flush=True)


if __name__ == "__main__":
    main()

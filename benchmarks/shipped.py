"""The bundles that the shipped scenarios serve, for the benchmarks that ask them."""

from __future__ import annotations

import sys
from pathlib import Path

from scenarios.prepare import BUNDLES


def bundles(population: str) -> Path:
    """The folder with one bundle a version; where they were not made, says so and ends the command as bad input."""
    folder = BUNDLES / population
    if not (folder / "v1" / "manifest.json").is_file():
        sys.stderr.write(f"no bundles in {folder}: run `python -m scenarios.prepare` first\n")
        raise SystemExit(2)
    return folder

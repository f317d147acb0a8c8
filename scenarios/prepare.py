"""Train and package what the scenarios serve: ``python -m scenarios.prepare``.

Writes `scenarios/bundles/` (not in git): a bundle for each version of each population, and the feature store's
table for payments. Does nothing when everything that determines them is unchanged since the last time.
"""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Final

import click

ROOT: Final = Path(__file__).parent.parent
BUNDLES: Final = ROOT / "scenarios" / "bundles"

# Everything that determines a bundle, apart from the libraries.
_SOURCES: Final = (
    "reference_service/bundle.py",
    "reference_service/contract.py",
    "reference_service/profile.py",
    "reference_service/core/*.py",
    "reference_service/training/*.py",
    "simulator/world/keyed.py",
    "simulator/world/portable.py",
    "simulator/world/populations/*.py",
    "scenarios/build.py",
    "scenarios/populations/*.py",
)
_LIBRARIES: Final = ("lightgbm", "numba", "numpy")
_STAMP: Final = "prepared.json"


def prepare(into: Path = BUNDLES, *, force: bool = False) -> bool:
    """Write all bundles, unless what is there was made from the same inputs. Returns whether it wrote."""
    inputs = _inputs_digest()
    if not force and _is_current(into, inputs):
        return False
    from scenarios import build  # noqa: PLC0415 - loads LightGBM and numba, seconds that an up-to-date folder need not wait

    into.mkdir(parents=True, exist_ok=True)
    (into / _STAMP).unlink(missing_ok=True)
    build.payments(into / "payments")
    build.flights(into / "flights")
    stamp = {"inputs": inputs, "files": _digests(into)}
    (into / _STAMP).write_text(json.dumps(stamp, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return True


def _inputs_digest() -> str:
    digest = hashlib.sha256()
    for library in _LIBRARIES:
        digest.update(f"{library} {version(library)}\n".encode())
    for pattern in _SOURCES:
        for path in sorted(ROOT.glob(pattern)):
            digest.update(f"{path.relative_to(ROOT)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _digests(into: Path) -> dict[str, str]:
    files = sorted(path for path in into.rglob("*") if path.is_file() and path.name != _STAMP)
    return {str(path.relative_to(into)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _is_current(into: Path, inputs: str) -> bool:
    try:
        stamp = json.loads((into / _STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(stamp == {"inputs": inputs, "files": _digests(into)})


@click.command()
@click.option("--force", is_flag=True, help="Train again even if nothing has changed.")
@click.option("--into", type=click.Path(path_type=Path), default=BUNDLES, help="The folder to write.")
def main(*, force: bool, into: Path) -> None:
    """Train and package what the scenarios serve."""
    click.echo(f"bundles written to {into}" if prepare(into, force=force) else f"bundles in {into} are up to date")


if __name__ == "__main__":
    main()

"""Target files: finding, reading, and a digest of everything that decides how the target behaves."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import Any, Final

from simulator.scenario.errors import BadInput, Problem
from simulator.scenario.load import Cell, load_model
from simulator.targets.model import Target

SUFFIX: Final = ".target.yaml"


def find(cell: Cell, name: str | None = None) -> Path:
    """A target file of that name: ``targets/<name>.target.yaml`` beside the scenario or up to two folders above.

    Without a name it is the scenario's own: the population's, unless the scenario says another.

    Raises:
        BadInput: There is no such file.
    """
    name = name or cell.scenario.target or cell.scenario.given.population
    here = cell.path.parent
    places = [folder / "targets" / f"{name}{SUFFIX}" for folder in (here, *here.parents[:2])]
    for path in places:
        if path.is_file():
            return path
    hint = f"write {places[0]}, or name one with --target"
    raise BadInput([Problem("no-target", f"no target file for {name!r}", str(cell.path), hint=hint)])


def load(path: Path) -> Target:
    """Read one target file. Raises BadInput with every problem of it."""
    return load_model(path, Target)


def digest(path: Path, target: Target) -> str:
    """SHA-256 (hex) over the target file, the source that it starts, its bundles' manifests, and files of its settings.

    What runs behind a URL or a command cannot be seen from here; there the file alone counts.
    """
    total = hashlib.sha256(path.read_bytes())
    if target.start.asgi:
        for file in _sources(target.start.asgi.partition(":")[0]):
            total.update(str(file.name).encode())
            total.update(file.read_bytes())
    for file in (*_manifests(path, target), *_named(path, target.start.settings)):
        total.update(file.read_bytes())
    return total.hexdigest()


def _named(path: Path, value: Any) -> list[Path]:
    """Files that stand in the settings, such as a table of features: with another one it is another service."""
    if isinstance(value, str):
        file = Path(value.replace("$here", str(path.parent)))
        return [file] if "$here" in value and file.is_file() else []
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [file for part in parts for file in _named(path, part)]


def _sources(module: str) -> list[Path]:
    package = module.partition(".")[0]
    found = importlib.util.find_spec(package)
    places = list(found.submodule_search_locations or []) if found else []
    files = [file for place in places for file in Path(place).rglob("*.py")]
    if found and found.origin and found.origin.endswith(".py"):
        files.append(Path(found.origin))
    return sorted(set(files))


def _manifests(path: Path, target: Target) -> list[Path]:
    bundles = target.bundles or target.start.settings.get("bundles")
    if not isinstance(bundles, str):
        return []
    return sorted(Path(bundles.replace("$here", str(path.parent))).rglob("manifest.json"))

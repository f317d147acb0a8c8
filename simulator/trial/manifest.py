"""``trial.json``: what was asked of one cell, enough to judge it again, or to run it again."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from simulator.history.read import Altered
from simulator.history.schema import SCHEMA_VERSION
from simulator.scenario.load import Cell
from simulator.scenario.load import load as load_scenario
from simulator.trial.drawn import Drawn
from simulator.verdict import CellVerdict


class Manifest(msgspec.Struct, frozen=True):
    """``trial.json``: what was asked of one cell, and where its evidence lies, relative to `out`."""

    run_id: str
    scenario: str  # path as the user named it
    values: dict[str, Any]
    seed: int
    target: str
    target_digest: str
    without: str | None
    driver: str
    switchable: tuple[str, ...]
    folders: dict[str, str]  # role → folder
    tolerance: float = 0.0  # the target's own: scores that differ by no more are equal
    allow: tuple[str, ...] = ()  # environments and hosts that the user named
    drawn: tuple[Drawn, ...] = ()  # who comes first by this seed: every run has to be of that world


def seeded(cell: Cell, seed: int | None) -> Cell:
    """The cell under another seed; None keeps its own."""
    if seed is None:
        return cell
    return replace(cell, scenario=cell.scenario.model_copy(update={"seed": seed}))


def run_id(cell: Cell, target_digest: str, without: str | None) -> str:
    """The same id for the same question: twelve hex digits."""
    return digest_of("run", cell.stem, cell.values, cell.scenario.model_dump_json(), target_digest, without)[:12]


def ask(cell: Cell, manifest: Manifest, out: Path) -> None:
    """Write down what is asked of a cell; what lay in its folder before is gone."""
    folder = out / cell.folder
    source = cell.path.read_bytes()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "scenario.yaml").write_bytes(source)
    (folder / "trial.json").write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))


def asked(out: Path, verdict: CellVerdict) -> tuple[Cell, Manifest]:
    """What was asked of a judged cell. Raises `Altered` if that is not to be found, or is not what was run."""
    inner = ",".join(f"{k}={v}" for k, v in verdict.cell.items())
    for path in sorted(out.glob("*/trial.json")):
        try:
            manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
        except msgspec.DecodeError as error:
            raise Altered(f"{path}: {error}") from error
        if manifest.run_id == verdict.run_id:
            cells = load_scenario(path.parent / "scenario.yaml")
            cell = next((cell for cell in cells if cell.values == manifest.values), None)
            if cell is None:
                raise Altered(f"{path.parent / 'scenario.yaml'}: has no cell {manifest.values}")
            cell = replace(seeded(cell, manifest.seed), path=Path(manifest.scenario))
            if run_id(cell, manifest.target_digest, manifest.without) != verdict.run_id:
                raise Altered(f"{path.parent / 'scenario.yaml'}: not the scenario that was run")
            return cell, manifest
    raise Altered(f"{out}: no trial.json for {verdict.scenario}[{inner}] ({verdict.run_id})")


def digest_of(*parts: object) -> str:
    """SHA-256 (hex) of the parts as text, and of the version of the history's schema."""
    return hashlib.sha256("\x1f".join(map(str, (*parts, SCHEMA_VERSION))).encode()).hexdigest()

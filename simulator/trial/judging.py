"""From the evidence of one cell to its verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from simulator.checks.evidence import Evidence
from simulator.controls.judge import judge
from simulator.history.read import read
from simulator.history.schema import History, Note
from simulator.scenario.load import Cell
from simulator.trial.drawn import astray
from simulator.trial.manifest import Manifest
from simulator.trial.prepare import Trial
from simulator.verdict import CellVerdict


def judge_trial(trial: Trial, died: Mapping[Path, str]) -> CellVerdict:
    """Judge a cell whose runs are over; `died`: folder of a run → why it has left no history."""
    found = {role: read(spec.folder) for role, spec in trial.runs.items() if spec.folder not in died}
    verdict = verdict_of(trial.cell, trial.manifest, found) if "main" in found else _nothing(trial)
    faults = [f"{role}: {died[spec.folder]}" for role, spec in trial.runs.items() if spec.folder in died]
    if faults:
        verdict = replace(verdict, harness_fault="; ".join([verdict.harness_fault, *faults]).strip("; "))
    return verdict


def verdict_of(cell: Cell, manifest: Manifest, found: Mapping[str, History]) -> CellVerdict:
    """The verdict on the histories in `found`, by role; ``main`` is one of them."""
    if why := astray(manifest.drawn, found):  # decides nothing, in either judge's eyes
        told = Note(found["main"].header.end_ns, "harness", {"fault": why})
        found = {**found, "main": replace(found["main"], notes=(*found["main"].notes, told))}
    off = {role.removeprefix("off-"): h for role, h in found.items() if role.startswith("off-")}
    serving = {role.removeprefix("serving-"): h for role, h in found.items() if role.startswith("serving-")}
    evidence = Evidence(
        main=found["main"], twin=found.get("twin"), aa=found.get("aa"), off=off, serving=serving,
        tolerance=manifest.tolerance,
    )  # fmt: skip
    target = f"{manifest.target} without {manifest.without}" if manifest.without else manifest.target
    verdict = judge(cell, evidence, run_id=manifest.run_id, target=target, switchable=frozenset(manifest.switchable))
    faults = [f"{role}: {n.data['fault']}" for role, h in found.items() for n in h.notes if n.kind == "harness"]
    return replace(verdict, harness_fault="; ".join(faults)) if faults else verdict


def _nothing(trial: Trial) -> CellVerdict:
    cell, manifest = trial.cell, trial.manifest
    return CellVerdict(
        cell.stem, cell.scenario.title, str(cell.path), dict(cell.values), cell.scenario.seed, manifest.target,
        (), {}, "", manifest.run_id,
    )  # fmt: skip

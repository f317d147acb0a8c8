"""From scenario cells to a verdict: which runs are needed, in which order they are judged, where evidence lies.

out/<cell>/scenario.yaml, trial.json     what was asked: enough to judge again, or to run again
out/<cell>/<role>/                       the histories of main and off-<safeguard>
out/twins/<key>/<role>/                  clean twins, shared by cells with the same world
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec

from simulator.checks.evidence import Evidence
from simulator.checks.steady import steadiness
from simulator.controls.judge import judge
from simulator.drivers.pool import carry_out
from simulator.drivers.spec import RunSpec
from simulator.events import CellJudged, RunFinished, RunProgress, RunStarted, TrialEvent
from simulator.history.read import Altered, read, verify
from simulator.history.schema import SCHEMA_VERSION, History
from simulator.report.certificate import Tried, statement
from simulator.report.json_ import from_json, to_json
from simulator.scenario.errors import BadInput, Problem
from simulator.scenario.feasibility import check
from simulator.scenario.load import Cell
from simulator.scenario.load import load as load_scenario
from simulator.targets.guard import objections
from simulator.targets.load import digest as target_digest
from simulator.targets.load import find
from simulator.targets.load import load as load_target
from simulator.targets.model import Target
from simulator.verdict import JUDGE_VERSION, CellVerdict, Verdict
from simulator.world.populations import get
from simulator.world.populations.recorded import OwnTraffic

VERDICT: Final = "verdict.json"


Listener = Callable[[TrialEvent], None]


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


@dataclass(frozen=True, slots=True)
class _Trial:
    cell: Cell
    manifest: Manifest
    target: Target
    runs: Mapping[str, RunSpec]


def certify(
    cells: Sequence[Cell],
    *,
    out: Path,
    target: Path | None = None,
    seed: int | None = None,
    without: str | None = None,
    workers: int = 1,
    driver: str = "virtual",
    allow: Sequence[str] = (),
    listen: Listener = lambda _: None,
) -> Verdict:
    """Run and judge every cell; writes evidence and ``verdict.json`` under `out`.

    Args:
        cells: Scenarios, one per matrix cell.
        out: Folder for evidence; folders of the same cells are replaced.
        target: Target file for all cells, instead of each scenario's own.
        seed: Instead of each scenario's own.
        without: Safeguard to switch off in the service: a scenario that guards it must then be refused.
        workers: Runs at once; the verdict does not depend on it.
        driver: ``virtual``, ``live`` or ``locust``.
        allow: Environments and hosts that the user names, which would else be refused.
        listen: Told what happens while it happens.

    Raises:
        BadInput: A scenario cannot decide, its target file is missing or wrong. Nothing has run then.
    """
    if driver != "virtual":
        cells = tuple(cell for cell in cells if driver in cell.scenario.runs_on)
    trials = _prepare([_seeded(c, seed) for c in cells], out, target, without, driver, allow=tuple(allow))
    ledger = _Ledger(trials, listen)
    wanted = [spec for spec in ledger.specs.values() if not _have(spec)]
    ledger.pending = {spec.folder for spec in wanted}
    ledger.settle()
    if wanted:
        preload = sorted({s.target.start.asgi.partition(":")[0] for s in wanted if s.target.start.asgi})
        if driver != "virtual":
            workers = 1  # two runs in real time on one machine would measure each other
        carry_out(wanted, workers=workers, preload=preload, listen=ledger.hear)
    verdict = Verdict(tuple(ledger.judged[i] for i in range(len(trials))))
    out.mkdir(parents=True, exist_ok=True)
    (out / VERDICT).write_bytes(to_json(verdict))
    return verdict


class _Ledger:
    """Which runs are still out; judges each cell as soon as its last run is in."""

    def __init__(self, trials: Sequence[_Trial], listen: Listener) -> None:
        self._trials = trials
        self._listen = listen
        # Cells share twins: one run per folder.
        self.specs = {spec.folder: spec for trial in trials for spec in trial.runs.values()}
        self._names = {s.folder: trial.cell.name for trial in reversed(trials) for s in trial.runs.values()}
        self.pending: set[Path] = set()
        self.died: dict[Path, str] = {}
        self.judged: dict[int, CellVerdict] = {}

    def settle(self) -> None:
        for i, trial in enumerate(self._trials):
            if i not in self.judged and not any(spec.folder in self.pending for spec in trial.runs.values()):
                self.judged[i] = _judge(trial, self.died)
                self._listen(CellJudged(self.judged[i]))

    def hear(self, spec: RunSpec, kind: str, value: Any) -> None:
        name = self._names[spec.folder]
        if kind == "started":
            self._listen(RunStarted(name, spec.role))
        elif kind == "progress":
            self._listen(RunProgress(name, spec.role, value))
        else:
            if kind == "died":
                self.died[spec.folder] = value
            self.pending.discard(spec.folder)
            self._listen(RunFinished(name, spec.role, value if kind == "finished" else 0.0))
            self.settle()


def recheck(out: Path) -> tuple[Verdict, Verdict]:
    """Judge the evidence under `out` again, offline: (the verdict that was given, the verdict now).

    Raises:
        Altered: Evidence is missing or not what it was when it was judged.
    """
    given = read_verdict(out)
    now = []
    for old in given.cells:
        cell, manifest = _manifest(out, old)
        histories = {}
        for role, digest in old.evidence.items():
            history = verify(out / manifest.folders[role])
            if history.header.digest != digest:
                raise Altered(f"{out / manifest.folders[role]}: not the history that was judged")
            histories[role] = history
        now.append(_verdict(cell, manifest, histories))
    return given, Verdict(tuple(now))


def read_verdict(out: Path) -> Verdict:
    """The verdict written under `out`. Raises `Altered` if there is none."""
    try:
        return from_json((out / VERDICT).read_bytes())
    except (OSError, ValueError) as error:
        raise Altered(f"{out / VERDICT}: {error}") from error


def replay(out: Path, run_id: str, *, into: Path, workers: int = 1, listen: Listener = lambda _: None) -> Verdict:
    """Run the cell `run_id` of `out` again, as it was asked then, into another folder.

    Raises:
        KeyError: `out` knows no such run.
        Altered: What was asked cannot be read any more.
    """
    old = next((c for c in read_verdict(out).cells if c.run_id == run_id), None)
    if old is None:
        raise KeyError(run_id)
    cell, manifest = _manifest(out, old)
    return certify(
        [cell], out=into, target=Path(manifest.target), seed=manifest.seed, without=manifest.without,
        workers=workers, driver=manifest.driver, allow=manifest.allow, listen=listen,
    )  # fmt: skip


def history(out: Path, cell: CellVerdict, role: str = "main") -> History:
    """The evidence of one judged cell, for reports."""
    return read(out / _manifest(out, cell)[1].folders[role])


def certificate(out: Path) -> bytes:
    """The verdict under `out` as a statement of digests. Raises `Altered` if there is none, or it was altered."""
    verdict = read_verdict(out)
    tried = []
    for cell in verdict.cells:
        asked, manifest = _manifest(out, cell)
        digest = hashlib.sha256((out / asked.folder / "scenario.yaml").read_bytes()).hexdigest()
        tried.append(Tried(cell, digest, manifest.target_digest, manifest.driver, manifest.without))
    return statement(verdict, tried)


# ---------------------------------------------------------------- preparing


def _seeded(cell: Cell, seed: int | None) -> Cell:
    if seed is None:
        return cell
    return replace(cell, scenario=cell.scenario.model_copy(update={"seed": seed}))


def _prepare(
    cells: Sequence[Cell], out: Path, target: Path | None, without: str | None, driver: str, *,
    allow: tuple[str, ...] = (),
) -> list[_Trial]:  # fmt: skip
    problems: list[Problem] = []
    trials = []
    if not cells:
        problems.append(Problem("no-scenario", "no scenario runs on this driver", "."))
    for cell in cells:
        try:
            trials.append(_trial(cell, out, target or find(cell), without, driver, allow=allow))
        except BadInput as error:
            problems += error.problems
    if problems:
        raise BadInput(list(dict.fromkeys(problems)))
    return trials


def _trial(
    cell: Cell, out: Path, target_path: Path, without: str | None, driver: str, *, allow: tuple[str, ...]
) -> _Trial:  # fmt: skip
    target = load_target(target_path)
    population = _population(cell)
    traffic = cell.scenario.given.traffic
    # What a live service can do is not declared but found out.
    given = target.service_time if driver == "virtual" else None
    capacity = given.capacity(traffic.batch) if given else None
    problems = check(cell, {f.name: f for f in population.fields}, capacity)
    if without and without not in target.safeguards:
        hint = f"its safeguards: {', '.join(target.safeguards) or 'none'}"
        problems = (
            *problems,
            Problem("no-switch", f"the target has no switch for {without}", str(target_path), hint=hint),
        )
    if driver == "virtual" and not target.start.asgi:
        hint = "use --driver live for a command or a url"
        problems = (*problems, Problem("no-asgi", "virtual time needs start.asgi", str(target_path), hint=hint))
    if without and driver != "virtual" and not target.start.takes_settings:
        hint = "a started service can: give its command `$settings`, the path of a JSON file"
        problems = (
            *problems,
            Problem("no-switch", f"{without} cannot be switched off from here", str(target_path), hint=hint),
        )
    if driver != "virtual":
        problems = (*problems, *(Problem("not-allowed", why, str(target_path)) for why in objections(target, allow)))
    if driver != "virtual" and not target.start.url:
        problems = (*problems, Problem("no-url", "a run in real time needs start.url", str(target_path)))
    if problems:
        raise BadInput(list(problems))
    seen = target_digest(target_path, target)
    if isinstance(population, OwnTraffic):  # other records are another world, for which no twin was ever run
        seen = _hash("recorded", seen, population.digest)
    scenario = cell.scenario
    watched = {e.safeguard for e in scenario.then} - {None}
    # A service that somebody else configured keeps its safeguards.
    switchable = driver == "virtual" or target.start.takes_settings
    off = () if without or not switchable else tuple(s for s in target.safeguards if s in watched)
    base = RunSpec(
        scenario, str(cell.path), dict(cell.values), "main", target, target_path, seen, out / cell.folder / "main",
        steadiness, (without,) if without else (), driver, _versions(),
    )  # fmt: skip
    clean = replace(base, scenario=scenario.clean(), cell={})
    twins = out / "twins" / _twin_key(clean)
    runs = {
        "main": base,
        "twin": replace(clean, role="twin", folder=twins / "twin"),
        "aa": replace(clean, role="aa", folder=twins / "aa"),
    }
    for version in sorted({e.parity.serving for e in scenario.then if e.parity and e.parity.serving}):
        served = clean.scenario.given.model_copy(update={"serving": version})
        other = replace(clean, scenario=clean.scenario.model_copy(update={"given": served}))
        folder = out / "twins" / _twin_key(other) / "twin"
        runs[f"serving-{version}"] = replace(other, role="twin", folder=folder)
    for safeguard in off:
        role = f"off-{safeguard}"
        runs[role] = replace(base, role=role, folder=out / cell.folder / role, without=(safeguard,))
    folders = {role: str(spec.folder.relative_to(out)) for role, spec in runs.items()}
    run_id = _run_id(cell, seen, without)
    manifest = Manifest(
        run_id,
        str(cell.path),
        dict(cell.values),
        scenario.seed,
        str(target_path),
        seen,
        without,
        driver,
        off,
        folders,
        target.tolerance,
        allow,
    )
    _ask(cell, manifest, out)
    return _Trial(cell, manifest, target, runs)


def _run_id(cell: Cell, target_digest: str, without: str | None) -> str:
    return _hash("run", cell.stem, cell.values, cell.scenario.model_dump_json(), target_digest, without)[:12]


def _population(cell: Cell) -> Any:
    try:
        return get(cell.scenario.given.population, cell.path.parent)
    except ValueError as error:
        line = cell.lines.get("given", 1)
        raise BadInput([Problem("unknown-population", str(error), str(cell.path), line)]) from error


def _ask(cell: Cell, manifest: Manifest, out: Path) -> None:
    folder = out / cell.folder
    source = cell.path.read_bytes()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "scenario.yaml").write_bytes(source)
    (folder / "trial.json").write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))


def _twin_key(clean: RunSpec) -> str:
    # S9: cached by (given, seed, target digest, judge version).
    given = clean.scenario.given.model_dump_json()
    parts = (clean.scenario.seed, clean.target_digest, clean.without, clean.driver, JUDGE_VERSION, _harness())
    return _hash("twin", given, *parts)[:16]


@cache
def _harness() -> str:
    """Digest of the harness' own source and of what it computes with: another one would rehearse another twin."""
    total = hashlib.sha256(repr(sorted(_versions().items())).encode())
    for file in sorted(Path(__file__).parent.rglob("*.py")):
        total.update(file.read_bytes())
    return total.hexdigest()


def _hash(*parts: object) -> str:
    return hashlib.sha256("\x1f".join(map(str, (*parts, SCHEMA_VERSION))).encode()).hexdigest()


def _have(spec: RunSpec) -> bool:
    """Whether a twin of this very world is there already, whole and unaltered."""
    if spec.role not in {"twin", "aa"}:
        return False
    try:
        verify(spec.folder)
    except Altered:
        return False
    return True


def _versions() -> dict[str, str]:
    wanted = ("seatrial", "numpy", "pandas", "pyarrow")
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in wanted}


# ---------------------------------------------------------------- judging


def _judge(trial: _Trial, died: Mapping[Path, str]) -> CellVerdict:
    found = {role: read(spec.folder) for role, spec in trial.runs.items() if spec.folder not in died}
    verdict = _verdict(trial.cell, trial.manifest, found) if "main" in found else _nothing(trial)
    faults = [f"{role}: {died[spec.folder]}" for role, spec in trial.runs.items() if spec.folder in died]
    if faults:
        verdict = replace(verdict, harness_fault="; ".join([verdict.harness_fault, *faults]).strip("; "))
    return verdict


def _verdict(cell: Cell, manifest: Manifest, found: Mapping[str, History]) -> CellVerdict:
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


def _nothing(trial: _Trial) -> CellVerdict:
    cell, manifest = trial.cell, trial.manifest
    return CellVerdict(
        cell.stem, cell.scenario.title, str(cell.path), dict(cell.values), cell.scenario.seed, manifest.target,
        (), {}, "", manifest.run_id,
    )  # fmt: skip


def _manifest(out: Path, verdict: CellVerdict) -> tuple[Cell, Manifest]:
    inner = ",".join(f"{k}={v}" for k, v in verdict.cell.items())
    for path in sorted(out.glob("*/trial.json")):
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
        if manifest.run_id == verdict.run_id:
            cell = next(c for c in load_scenario(path.parent / "scenario.yaml") if c.values == manifest.values)
            cell = replace(_seeded(cell, manifest.seed), path=Path(manifest.scenario))
            if _run_id(cell, manifest.target_digest, manifest.without) != verdict.run_id:
                raise Altered(f"{path.parent / 'scenario.yaml'}: not the scenario that was run")
            return cell, manifest
    raise Altered(f"{out}: no trial.json for {verdict.scenario}[{inner}] ({verdict.run_id})")


__all__ = [
    "CellJudged", "Manifest", "RunFinished", "RunProgress", "RunStarted", "TrialEvent",
    "certificate", "certify", "history", "read_verdict", "recheck", "replay",
]  # fmt: skip

"""What a cell needs before it can run: its target, its world, and one run for each piece of evidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from simulator.checks.steady import steadiness
from simulator.drivers.spec import RunSpec
from simulator.scenario.document import Flaw, Where
from simulator.scenario.errors import BadInput, Problem
from simulator.scenario.feasibility import check
from simulator.scenario.load import Cell
from simulator.scenario.model import Scenario
from simulator.scenario.verbs import PROCESS, Event
from simulator.targets.bundles import folder_of
from simulator.targets.guard import objections
from simulator.targets.load import digest as target_digest
from simulator.targets.load import find
from simulator.targets.load import load as load_target
from simulator.targets.model import Target
from simulator.trial import fit
from simulator.trial.drawn import head
from simulator.trial.manifest import Manifest, ask, digest_of, run_id
from simulator.trial.twins import twin_key, versions
from simulator.world.populations import misfit, population_of
from simulator.world.populations.recorded import OwnTraffic


@dataclass(frozen=True, slots=True)
class Trial:
    """One cell with all the runs that its verdict needs, by role."""

    cell: Cell
    manifest: Manifest
    target: Target
    runs: Mapping[str, RunSpec]


def prepare(
    cells: Sequence[Cell], out: Path, target: Path | None, without: str | None, driver: str, *,
    allow: tuple[str, ...] = (),
) -> list[Trial]:  # fmt: skip
    """All cells, ready to run. Raises BadInput with the problems of all of them; then nothing may run."""
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
) -> Trial:  # fmt: skip
    target = load_target(target_path)
    scenario = cell.scenario
    population = population_of(cell)
    traffic = scenario.given.traffic
    # What a live service can do is not declared but found out.
    given = target.service_time if driver == "virtual" else None
    capacity = given.capacity(traffic.batch) if given else None
    problems = check(cell, {f.name: f for f in population.fields}, capacity, misfit(population, traffic))
    problems = (*problems, *(cell.problem(flaw) for flaw in fit.flaws(scenario, target)))
    if without and without not in target.safeguards:
        hint = f"its safeguards: {', '.join(target.safeguards) or 'none'}"
        problems = (
            *problems,
            Problem("no-switch", f"the target has no switch for {without}", str(target_path), hint=hint),
        )
    if without and driver != "virtual" and not target.start.takes_settings:
        hint = "a started service can: give its command `$settings`, the path of a JSON file"
        problems = (
            *problems,
            Problem("no-switch", f"{without} cannot be switched off from here", str(target_path), hint=hint),
        )
    beside = {e.parity.beside: e.parity for e in scenario.then if e.parity and e.parity.beside}
    targets = {p.target: find(cell, p.target) for p in beside.values() if p.target}
    others = {name: (path, load_target(path)) for name, path in targets.items()}
    for path, each in ((target_path, target), *others.values()):
        problems = (*problems, *_obstacles(path, each, driver, allow))
    problems = (*problems, *map(cell.problem, _beyond_reach(scenario, target, driver)))
    if problems:
        raise BadInput(list(problems))
    seen = target_digest(target_path, target)
    if isinstance(population, OwnTraffic):  # other records are another world, for which no twin was ever run
        seen = digest_of("recorded", seen, population.digest)
    if others:  # what stands beside the service decides the verdict as well
        seen = digest_of("beside", seen, *(target_digest(path, there) for _, (path, there) in sorted(others.items())))
    watched = {e.safeguard for e in scenario.then} - {None}
    # A service that somebody else configured keeps its safeguards.
    switchable = driver == "virtual" or target.start.takes_settings
    off = () if without or not switchable else tuple(s for s in target.safeguards if s in watched)
    base = RunSpec(
        scenario, str(cell.path), dict(cell.values), "main", target, target_path, seen, out / cell.folder / "main",
        steadiness, (without,) if without else (), driver, versions(),
    )  # fmt: skip
    clean = replace(base, scenario=scenario.clean(), cell={})
    twins = out / "twins" / twin_key(clean)
    runs = {
        "main": base,
        "twin": replace(clean, role="twin", folder=twins / "twin"),
        "aa": replace(clean, role="aa", folder=twins / "aa"),
    }
    for name, parity in sorted(beside.items()):
        served = clean.scenario.given.model_copy(update={"serving": parity.serving})
        other = replace(clean, scenario=clean.scenario.model_copy(update={"given": served}))
        if parity.target is not None:
            path, there = others[parity.target]
            other = replace(other, target=there, target_path=path, target_digest=target_digest(path, there), without=())
        runs[f"serving-{name}"] = replace(other, role="twin", folder=out / "twins" / twin_key(other) / "twin")
    for safeguard in off:
        role = f"off-{safeguard}"
        runs[role] = replace(base, role=role, folder=out / cell.folder / role, without=(safeguard,))
    folders = {role: str(spec.folder.relative_to(out)) for role, spec in runs.items()}
    manifest = Manifest(
        run_id(cell, seen, without),
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
        head(scenario, population),
    )
    ask(cell, manifest, out)
    return Trial(cell, manifest, target, runs)


def _obstacles(path: Path, target: Target, driver: str, allow: tuple[str, ...]) -> Iterator[Problem]:
    """Why this driver cannot, or must not, run against the target."""
    bundles = folder_of(target, path)
    if target.reads_bundles(driver) and bundles is not None and not bundles.is_dir():
        hint = "make them, or name another folder; those of the shipped scenarios: `python -m scenarios.prepare`"
        yield Problem("bundles-missing", f"there are no bundles in {bundles.resolve()}", str(path), hint=hint)
    if driver == "virtual":
        if not target.start.asgi:
            hint = "use --driver live for a command or a url"
            yield Problem("no-asgi", "virtual time needs start.asgi", str(path), hint=hint)
        return
    yield from (Problem("not-allowed", why, str(path)) for why in objections(target, allow))
    if not target.start.url:
        yield Problem("no-url", "a run in real time needs start.url", str(path))


def _beyond_reach(scenario: Scenario, target: Target, driver: str) -> Iterator[Flaw]:
    """Events that befall what is not ours: the processes of a service, and its bundles."""
    for index, event in enumerate(scenario.when):
        where: Where = ("when", index, event.verb)
        if driver != "virtual" and event.verb in PROCESS and not target.start.command:
            message = f"`{event.verb}` befalls a process, and this target was not started by seatrial"
            yield Flaw("not-ours", message, where, "give `start: {command: [...]}` in its target file", "key")
        elif driver == "virtual" and event.verb in {"pause", "cpu"} and target.service_time is None:
            message = f"`{event.verb}` takes CPU time away, and the target file says of none"
            yield Flaw("no-cpu", message, where, "give `service_time: {per_request: ...}` in its target file", "key")
        elif driver == "virtual" and _damaged(event) and not target.reads_bundles(driver):
            message = "nobody offers this target a bundle that could be damaged"
            hint = "give `bundles: FOLDER` in its target file, and `$bundles` in its settings"
            yield Flaw("no-bundles", message, where, hint, "key")


def _damaged(event: Event) -> bool:
    return event.release is not None and event.release.bundle == "damaged"

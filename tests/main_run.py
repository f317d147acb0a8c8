"""One run of a scenario without what a trial has around it: no twin, no judge, a steady state that always holds."""

from __future__ import annotations

from pathlib import Path

from simulator.drivers.live import run_live
from simulator.drivers.locust.fleet import run_fleet
from simulator.drivers.spec import RunSpec
from simulator.drivers.virtual.run import rehearse
from simulator.history.schema import History
from simulator.scenario.load import Cell
from simulator.scenario.model import Scenario
from simulator.targets.load import load as load_target
from simulator.targets.model import Target

DRIVERS = {"virtual": rehearse, "live": run_live, "locust": run_fleet}


def steady(*_):
    """A steadiness that asks for nothing; a named function, for a spec goes to other processes."""
    return True, ""


def main_spec(
    cell: Cell, at: Path, folder: Path, driver: str, *, scenario: Scenario | None = None, target: Target | None = None
) -> RunSpec:
    """The main run of a cell on the target at `at`; `scenario` and `target` stand for what the files say."""
    return RunSpec(
        scenario or cell.scenario, str(cell.path), {}, "main", target or load_target(at), at, "", folder, steady,
        driver=driver,
    )  # fmt: skip


def carried_out(spec: RunSpec) -> History:
    """Its history, from this process."""
    return DRIVERS[spec.driver](spec, lambda _: None)

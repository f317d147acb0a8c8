"""Sea trials for machine-learning services: the public names, for tests written by hand.

    import seatrial

    def test_the_unit_change_is_contained():
        verdict = seatrial.run("scenarios/unit_change.scenario.yaml")
        seatrial.assert_certified(verdict)

`run` judges; `assert_certified` turns anything but CERTIFIED into an AssertionError that says why.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simulator.report import text as _text
from simulator.scenario import explain as _explain
from simulator.scenario.errors import BadInput
from simulator.scenario.load import Cell
from simulator.scenario.load import load as _load
from simulator.scenario.model import Scenario
from simulator.verdict import CellVerdict, Judged, Status, Verdict

__all__ = [
    "BadInput",
    "Cell",
    "CellVerdict",
    "Judged",
    "Scenario",
    "Status",
    "Verdict",
    "assert_certified",
    "explain",
    "load",
    "run",
]

Runnable = str | Path | Cell | Mapping[str, Any]


def run(
    scenario: Runnable,
    *,
    target: str | Path | None = None,
    seed: int | None = None,
    without: str | None = None,
    out: str | Path | None = None,
) -> Verdict:
    """Run one scenario with all its matrix cells, in virtual time, and judge it.

    Args:
        scenario: A file; one cell from `load`; or the scenario itself as a mapping, spelled as in a file
            (``{"seatrial": 1, "title": …, "given": …}``), which then needs a `target`.
        target: Target file, instead of the scenario's own.
        seed: Instead of the scenario's own.
        without: Safeguard to switch off in the service (``validation``, ``fallback``, ``alerts``, ``rollback``):
            a scenario that guards it must then be refused.
        out: Folder to keep the evidence in, for `seatrial recheck` and `replay`; thrown away unless given.

    Raises:
        BadInput: The scenario or its target file cannot be run as they are; nothing has run.
    """
    from simulator.trial import certify  # noqa: PLC0415 - the engine is heavy, and `load` and `explain` do without

    with tempfile.TemporaryDirectory(prefix="seatrial-") as scratch:
        cells = _cells(scenario, Path(scratch))
        folder = Path(scratch) / "out" if out is None else Path(out)
        chosen = None if target is None else Path(target)
        return certify(cells, out=folder, target=chosen, seed=seed, without=without)


def load(path: str | Path) -> tuple[Cell, ...]:
    """All cells of one scenario file, in the order of its matrix. Raises BadInput with every problem of the file."""
    return _load(Path(path))


def explain(scenario: Runnable) -> str:
    """What a scenario does and demands, in English with a timeline, without running it. Raises BadInput."""
    with tempfile.TemporaryDirectory(prefix="seatrial-") as scratch:
        return "\n".join(_explain.explain(cell) for cell in _cells(scenario, Path(scratch)))


def assert_certified(verdict: Verdict) -> None:
    """Raise AssertionError, with the table and the reasons, unless every cell of `verdict` is certified."""
    if verdict.exit_code != 0:
        raise AssertionError("\n" + _text.render(verdict))


def _cells(scenario: Runnable, scratch: Path) -> tuple[Cell, ...]:
    if isinstance(scenario, Cell):
        return (scenario,)
    if isinstance(scenario, Mapping):
        path = scratch / "inline.scenario.yaml"
        path.write_text(json.dumps(scenario, indent=1), encoding="utf-8")  # JSON is YAML 1.2
        return _load(path)
    return _load(Path(scenario))

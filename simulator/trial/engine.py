"""Runs what a trial needs, and judges each cell as soon as its last run is in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from simulator.drivers.pool import carry_out
from simulator.drivers.spec import RunSpec
from simulator.events import CellJudged, RunFinished, RunInterrupted, RunProgress, RunStarted, TrialEvent
from simulator.report.json_ import to_json
from simulator.scenario.load import Cell
from simulator.trial.judging import judge_trial
from simulator.trial.manifest import seeded
from simulator.trial.prepare import Trial, prepare
from simulator.trial.twins import have
from simulator.verdict import CellVerdict, Verdict

VERDICT: Final = "verdict.json"
CERTIFICATE: Final = "certificate.json"
Listener = Callable[[TrialEvent], None]


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
    trials = prepare([seeded(c, seed) for c in cells], out, target, without, driver, allow=tuple(allow))
    ledger = _Ledger(trials, listen)
    wanted = [spec for spec in ledger.specs.values() if not have(spec)]
    ledger.pending = {spec.folder for spec in wanted}
    ledger.settle()
    (out / CERTIFICATE).unlink(missing_ok=True)  # of what lay here before, and is replaced now
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

    def __init__(self, trials: Sequence[Trial], listen: Listener) -> None:
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
                self.judged[i] = judge_trial(trial, self.died)
                self._listen(CellJudged(self.judged[i]))

    def hear(self, spec: RunSpec, kind: str, value: Any) -> None:
        name = self._names[spec.folder]
        if kind == "started":
            self._listen(RunStarted(name, spec.role))
        elif kind == "progress":
            self._listen(RunProgress(name, spec.role, value))
        elif kind == "interrupted":
            self._listen(RunInterrupted(name, spec.role))
        else:
            if kind == "died":
                self.died[spec.folder] = value
            self.pending.discard(spec.folder)
            self._listen(RunFinished(name, spec.role, value if kind == "finished" else 0.0))
            self.settle()

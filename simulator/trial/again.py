"""An earlier trial: its verdict, its evidence, judged again, run again, certified."""

from __future__ import annotations

import hashlib
from pathlib import Path

from simulator.history.read import Altered, read, verify
from simulator.history.schema import History
from simulator.report.certificate import Tried, statement
from simulator.report.json_ import from_json
from simulator.trial.engine import VERDICT, Listener, certify
from simulator.trial.judging import verdict_of
from simulator.trial.manifest import asked
from simulator.verdict import CellVerdict, Verdict


def recheck(out: Path) -> tuple[Verdict, Verdict]:
    """Judge the evidence under `out` again, offline: (the verdict that was given, the verdict now).

    Raises:
        Altered: Evidence is missing or not what it was when it was judged.
    """
    given = read_verdict(out)
    now = []
    for old in given.cells:
        cell, manifest = asked(out, old)
        histories = {}
        for role, digest in old.evidence.items():
            history = verify(out / manifest.folders[role])
            if history.header.digest != digest:
                raise Altered(f"{out / manifest.folders[role]}: not the history that was judged")
            histories[role] = history
        now.append(verdict_of(cell, manifest, histories))
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
    cell, manifest = asked(out, old)
    return certify(
        [cell], out=into, target=Path(manifest.target), seed=manifest.seed, without=manifest.without,
        workers=workers, driver=manifest.driver, allow=manifest.allow, listen=listen,
    )  # fmt: skip


def history(out: Path, cell: CellVerdict, role: str = "main") -> History:
    """The evidence of one judged cell, for reports."""
    return read(out / asked(out, cell)[1].folders[role])


def certificate(out: Path) -> bytes:
    """The verdict under `out` as a statement of digests. Raises `Altered` if there is none, or it was altered."""
    verdict = read_verdict(out)
    tried = []
    for cell in verdict.cells:
        tried_cell, manifest = asked(out, cell)
        digest = hashlib.sha256((out / tried_cell.folder / "scenario.yaml").read_bytes()).hexdigest()
        tried.append(Tried(cell, digest, manifest.target_digest, manifest.driver, manifest.without))
    return statement(verdict, tried)

"""One file of scenarios under one seed: the unit of work, judged in a process of its own wherever there is one.

A worker on another machine needs the same checkout at the same place, and cannot be wrong about it unnoticed: the job
has a key, made of the digests of seatrial, the scenario, the target and what it starts, which the worker makes again.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import msgspec

from simulator.report.json_ import to_json
from simulator.scenario.load import Cell, load
from simulator.trial import certify
from simulator.trial.manifest import digest_of, run_id, seeded
from simulator.trial.prepare import prepare
from simulator.trial.twins import harness
from simulator.verdict import JUDGE_VERSION, CellVerdict, Verdict


class Mismatch(Exception):  # noqa: N818 - what happened: a worker is not where it was thought to be
    """What judged is not what was asked: another harness, another scenario, or another target."""


@dataclass(frozen=True, slots=True)
class Job:
    """All cells of one file that run in virtual time, under one seed.

    Attributes:
        folder: Where paths start from, on every machine.
        path: The scenario file, as the user named it.
        target: Target file instead of the scenario's own.
        seed: Instead of the scenario's own.
        without: Safeguard that is switched off.
        cells: What is to be judged, as yet without a verdict; their run ids say exactly what it is.
        key: Digest of everything that decides the verdict.
    """

    folder: str
    path: str
    target: str | None
    seed: int
    without: str | None
    cells: tuple[CellVerdict, ...]
    key: str

    def fault(self, why: str) -> Verdict:
        """No verdict for any cell, and whose fault that is."""
        return Verdict(tuple(replace(cell, harness_fault=why) for cell in self.cells))

    def answered_by(self, verdict: Verdict) -> bool:
        """Whether the verdict is about exactly what this job asks."""
        return [cell.run_id for cell in verdict.cells] == [cell.run_id for cell in self.cells]


def jobs(cells: Sequence[Cell], seeds: Sequence[int], *, target: Path | None, without: str | None) -> list[Job]:
    """One job per file and seed, in the order of the files.

    Raises:
        BadInput: A scenario cannot decide, or its target file is missing or wrong; nothing has run then.
    """
    with tempfile.TemporaryDirectory(prefix="seatrial-") as scratch:  # what is written there is asked again by the job
        trials = prepare(cells, Path(scratch), target, without, "virtual")
    made = []
    for path in dict.fromkeys(cell.path for cell in cells):
        text = sha256(path.read_bytes()).hexdigest()
        of_file = [trial for trial in trials if trial.cell.path == path]
        for seed in seeds:
            nothing = tuple(
                CellVerdict(
                    trial.cell.stem, trial.cell.scenario.title, str(path), dict(trial.cell.values), seed,
                    trial.manifest.target, (), {}, "",
                    run_id(seeded(trial.cell, seed), trial.manifest.target_digest, without),
                )
                for trial in of_file
            )  # fmt: skip
            asked = (str(path), text, nothing[0].target, [cell.run_id for cell in nothing], harness(), JUDGE_VERSION)
            chosen = str(target) if target else None
            key = digest_of("campaign", *asked)[:24]
            made.append(Job(str(Path.cwd()), str(path), chosen, seed, without, nothing, key))
    return made


def judge(asked: bytes) -> bytes:
    """Judge one job (JSON), and give its verdict (JSON). Evidence is thrown away: a seed is enough to repeat a run.

    Raises:
        Mismatch: What is here is not what was asked.
    """
    job = msgspec.json.decode(asked, type=Job)
    cells, target = rehearsable(load(Path(job.path))), Path(job.target) if job.target else None
    (here,) = jobs(cells, [job.seed], target=target, without=job.without)
    if here.cells != job.cells:
        raise Mismatch(f"{job.path} or its target is not the same here as where the campaign was started")
    if here.key != job.key:
        raise Mismatch(f"{Path(__file__).parents[1]} is another version of seatrial, or runs on other libraries")
    with tempfile.TemporaryDirectory(prefix="seatrial-") as scratch:
        return to_json(certify(cells, out=Path(scratch), target=target, seed=job.seed, without=job.without))


def judge_apart(asked: bytes) -> bytes:
    """`judge` in a new process: a worker of a cluster may be a thread, or may not have children of the usual kind.

    Raises:
        RuntimeError: The process failed; with the last line that it said.
    """
    folder = msgspec.json.decode(asked, type=Job).folder
    command = [sys.executable, "-m", "simulator.campaign.job"]
    done = subprocess.run(  # noqa: S603 - our own module
        command, input=asked, capture_output=True, cwd=folder, check=False
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or [f"ended with code {done.returncode}"]
        raise RuntimeError(said[-1])
    return done.stdout


def rehearsable(cells: Sequence[Cell]) -> list[Cell]:
    """Those that run in virtual time: runs in real time would measure each other."""
    return [cell for cell in cells if "virtual" in cell.scenario.runs_on]


if __name__ == "__main__":
    sys.stdout.buffer.write(judge(sys.stdin.buffer.read()))

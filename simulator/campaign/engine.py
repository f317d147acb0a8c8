"""A campaign from its jobs to its verdicts. What was judged before, on the same input, is not run again.

out/judged/<key>.json          the verdict of one job; the key is the digest of everything that decides it
out/campaign.json, .md, .html  the table
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from simulator.campaign.job import Job, jobs, rehearsable
from simulator.campaign.places import Place, here
from simulator.campaign.render import write
from simulator.campaign.tally import Tally, tally
from simulator.report.json_ import from_json, to_json
from simulator.scenario.load import Cell
from simulator.verdict import Verdict

JUDGED: Final = "judged"
Listener = Callable[[Job, Verdict, int, int], None]  # what was judged, and how many of how many are


def campaign(
    cells: Sequence[Cell],
    seeds: Sequence[int],
    *,
    out: Path,
    place: Place | None = None,
    target: Path | None = None,
    without: str | None = None,
    listen: Listener = lambda *_: None,
) -> Tally:
    """Judge every scenario under every seed, in virtual time, and write the table under `out`.

    Args:
        cells: Scenarios; those that do not run in virtual time are left out.
        seeds: Each instead of the scenario's own. Every draw is keyed by the seed, so neighbours share nothing.
        out: Folder for the verdicts and the table. Evidence is not kept: a seed is enough to repeat a run.
        place: Where to judge; one process after the other on this machine unless given.
        target: Target file for all cells, instead of each scenario's own.
        without: Safeguard to switch off in the service.
        listen: Told of each job as soon as its verdict is there.

    Raises:
        BadInput: Nothing runs in virtual time, a scenario cannot decide, or its target is missing; nothing has run.
    """
    asked = jobs(rehearsable(cells), seeds, target=target, without=without)
    folder = out / JUDGED
    folder.mkdir(parents=True, exist_ok=True)
    found = {job.key: verdict for job in asked if (verdict := _earlier(folder, job))}
    for job in asked:
        if job.key in found:
            listen(job, found[job.key], len(found), len(asked))
    if left := [job for job in asked if job.key not in found]:
        for job, verdict in (place or here(1))(left):
            found[job.key] = verdict
            _keep(folder, job, verdict)
            listen(job, verdict, len(found), len(asked))
    result = tally([found[job.key] for job in asked], without)
    write(result, out)
    return result


def _earlier(folder: Path, job: Job) -> Verdict | None:
    try:
        verdict = from_json((folder / f"{job.key}.json").read_bytes())
    except (OSError, ValueError):
        return None  # never judged, or only half written
    return verdict if job.answered_by(verdict) else None


def _keep(folder: Path, job: Job, verdict: Verdict) -> None:
    if any(cell.harness_fault for cell in verdict.cells):
        return  # says nothing about the service, and may not happen again
    half = folder / f"{job.key}.half"
    half.write_bytes(to_json(verdict))
    half.replace(folder / f"{job.key}.json")

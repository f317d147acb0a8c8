"""What a verdict does not prove, said from the verdict itself wherever it can be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from simulator.report import words
from simulator.report.lanes import Lanes
from simulator.verdict import Status, Verdict


def limits(verdict: Verdict, lanes: Mapping[str, Lanes]) -> Iterator[str]:
    """One sentence for each limit that applies; `lanes` by run id, where a history was at hand."""
    drivers = {one.header.driver for one in lanes.values()}
    if "virtual" in drivers:
        yield (
            "Latencies are simulated: a queueing model with the service time that the target file declares. "
            "They say how the service queues, sheds and gives up, never how fast a machine is."
        )
    if drivers - {"virtual"}:
        yield "Latencies were measured on this machine and this network, from the scheduled send; others will differ."
    yield (
        "The world is synthetic, or a recording: the run shows how the service reacts to the disturbances named in "
        "the scenarios. A disturbance that nobody wrote down was not rehearsed."
    )
    yield from _grades(verdict)
    yield from _samples(verdict)
    yield from _seeds(verdict)
    unknown = sum(j.status is Status.UNKNOWN for cell in verdict.cells for j in cell.judged)
    if unknown:
        yield f"{words.plural(unknown, 'expectation')} could not be decided: neither met nor broken."
    missing = [cell.name for cell in verdict.cells if cell.run_id not in lanes]
    if missing:
        yield f"The histories of {', '.join(missing)} were not at hand when this was written: they have no picture."


def _grades(verdict: Verdict) -> Iterator[str]:
    judged = [j for cell in verdict.cells for j in cell.judged]
    partial = sum("S" not in j.grades for j in judged)
    if partial:
        yield (
            f"{partial} of {words.plural(len(judged), 'expectation')} were seen red only on tampered evidence or in a "
            "clean world (T/W): the judge can tell, but no safeguard was switched off to watch the service itself fail."
        )


def _samples(verdict: Verdict) -> Iterator[str]:
    rates = [
        (j.finding.n, cell.name, j.id)
        for cell in verdict.cells
        for j in cell.judged
        if j.status is Status.PASS and j.finding.n and j.finding.interval is not None
    ]
    if rates:
        n, cell_name, name = min(rates)
        # The rate at which n independent chances all pass with probability 1 %.
        unseen = words.percent(1 - 0.01 ** (1 / n))
        yield (
            f"A share rests on a sample. The smallest one that passed is {name} in {cell_name} with n = {n:,}: "
            f"a failure rarer than {unseen} would have shown itself there in fewer than 99 of 100 runs."
        )


def _seeds(verdict: Verdict) -> Iterator[str]:
    seeds: dict[str, set[int]] = {}
    for cell in verdict.cells:
        seeds.setdefault(cell.name, set()).add(cell.seed)
    single = sum(len(used) == 1 for used in seeds.values())
    if single:
        yield f"{words.plural(single, 'cell')} ran with a single seed: one draw of a world, the same on every replay."

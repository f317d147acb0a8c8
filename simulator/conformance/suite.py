"""The whole suite against one target, in an order in which no probe disturbs the one after it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from simulator.conformance.bench import Bench, unknown
from simulator.conformance.berth import Berth, moored
from simulator.conformance.finding import Finding, Report
from simulator.conformance.probes import (
    abandoned,
    admission,
    columns,
    control,
    errors,
    identity,
    isolation,
    keys,
    readiness,
    stopping,
    validation,
    workers,
)
from simulator.conformance.rows import Row
from simulator.targets.model import Target

Told = Callable[[str], None]
WARM_WITHIN: Final = 20.0  # seconds


async def run(
    target: Target, rows: Sequence[Row], *, path: Path, versions: tuple[str, ...] = (), tell: Told = lambda _: None
) -> Report:
    """Start the target (or reach it at its url), try every promise, stop it again.

    Args:
        target: how it is reached and read.
        rows: legal rows with different scores, a few dozen; what is legal is what they hold.
        path: the target file, for ``$here`` and for the report's title.
        versions: the one that serves and another, to be swapped by ``admin.release``.
        tell: is told the name of each probe as it begins.

    Raises:
        TargetDown: it did not start, or does not answer.
    """
    async with moored(target, path) as berth:
        async with berth.client() as http:
            bench = Bench(target, http, rows)
            await _warm(bench)
            found = await asked(bench, tell)
            if not bench.doubt:
                tell("abandoned")
                found += await abandoned.probe(bench, berth)
                tell("swap")
                found.append(await identity.swap(bench, versions, berth.token))
            tell("readiness")
            found.append(await readiness.probe(bench, target.start.ready))
            tell("admission")
            found += await admission.probe(bench, berth.token)
            found += await keys.probe(bench, berth.token)
            found += await errors.probe(bench)
            found += await _process(bench, berth, tell)
        return Report(path.name.removesuffix(".target.yaml"), berth.url, bench.requests, tuple(found))


async def _warm(bench: Bench) -> None:
    """Some say ready before they can score, which `readiness.start` holds against them; the other probes can wait."""
    deadline = time.monotonic() + WARM_WITHIN
    while not (await bench.score(bench.rows[0])).scores and time.monotonic() < deadline:  # noqa: ASYNC110 - a server has no event
        await asyncio.sleep(0.2)
    bench.errors.clear()


async def asked(bench: Bench, tell: Told = lambda _: None) -> list[Finding]:
    """The probes that only ask: what can be tried on a server in process, too."""
    found = []
    for probe in (control, isolation, identity, columns, validation):
        tell(probe.__name__.rpartition(".")[2])
        found += await probe.probe(bench)
    return found


async def _process(bench: Bench, berth: Berth, tell: Told) -> list[Finding]:
    """The probes that signal the process; each leaves a fresh one behind."""
    if bench.doubt:
        return [unknown("stop", "in_flight", bench.doubt)]
    tell("start")
    found = [await readiness.at_start(bench, berth)]
    async with berth.client() as bench.http:
        found.append(await isolation.remembered(bench, berth))
    # Connections of the old process are gone with it.
    for name, probe in (("stop", stopping.probe), ("worker_death", workers.probe)):
        tell(name)
        async with berth.client() as bench.http:
            found += await probe(bench, berth)
    return found

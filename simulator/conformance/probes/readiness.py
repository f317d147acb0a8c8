"""Ready means that it can score: at the start, and after everything that the other probes did to it."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from simulator.conformance.bench import Answer, Bench, failed, passed, unknown
from simulator.conformance.berth import Berth
from simulator.conformance.finding import Exchange, Finding

WATCHED: Final = 60.0  # seconds of a start that are watched
TRIES: Final = 3
PAUSE: Final = 0.3


async def at_start(bench: Bench, berth: Berth) -> Finding:
    """Start it again and ask for a score at the very moment that it says ready. One refused start is not enough."""
    if not berth.command:
        return unknown("readiness", "start", "the server was not started by us, so its start cannot be watched")
    if not berth.target.start.ready:
        return unknown("readiness", "start", "the target file names no ready path")
    early: list[Answer] = []
    for _ in range(2):
        await berth.stop()
        await berth.start()
        answer = await _first(bench, berth)
        if answer is None:
            return unknown("readiness", "start", f"not ready within {WATCHED:.0f} s")
        if bench.right(answer, bench.alone[0].score):
            return passed("readiness", "start", "it could score at the moment that it first said ready")
        early.append(answer)
        await berth.until_ready()
    why = f"at the moment that it first says ready, a valid row gets {early[0].told()} (twice, in two starts)"
    repro = (
        f'until [ "$(curl -s -o /dev/null -w %{{http_code}} "$URL"{berth.target.start.ready})" = 200 ]; do :; done\n'
    )
    return failed(
        "readiness", "start", why, [a.noted("at first ready") for a in early], repro + bench.curl(bench.alone[0].body)
    )


async def _first(bench: Bench, berth: Berth) -> Answer | None:
    until = time.monotonic() + WATCHED
    async with berth.client(5.0) as http:
        while time.monotonic() < until and berth.running:
            if await berth.ready(http) == 200:  # noqa: PLR2004 - OK
                return await bench.ask(bench.alone[0].body)
            await asyncio.sleep(0.02)
    return None


async def probe(bench: Bench, path: str | None) -> Finding:
    """After the other probes: it says ready and scores, or neither."""
    if bench.doubt:
        return unknown("readiness", "after", bench.doubt)
    if path is None:
        return unknown("readiness", "after", "the target file names no ready path (start.ready)")
    lies: list[tuple[Exchange, Answer]] = []
    for _ in range(TRIES):
        known = bench.alone[0]
        ready = await bench.call("GET", path)
        answer = await bench.ask(known.body)
        again = await bench.call("GET", path)
        if bench.right(answer, known.score):
            if ready.status == again.status == 200:  # noqa: PLR2004 - OK
                return passed("readiness", "after", "it says ready, and scores as it did at first")
            return unknown("readiness", "after", f"it scores, but its ready path says {ready.status}", (ready,))
        if ready.status == again.status == 200:  # noqa: PLR2004 - OK
            lies.append((ready, answer))
        await asyncio.sleep(PAUSE)
    if len(lies) == TRIES:
        ready, answer = lies[0]
        why = f"{path} says 200, and a valid row gets {answer.told()} ({TRIES} times)"
        repro = bench.curl(answer.exchange.body) + f'\ncurl -sS -w "%{{http_code}}\\n" "$URL"{path}'
        return failed("readiness", "after", why, (ready, answer.noted("while it says ready")), repro)
    return passed("readiness", "after", "it cannot score any more, and says so")

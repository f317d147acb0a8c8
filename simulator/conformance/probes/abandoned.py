"""Clients that leave: those who stay get their own answers, and the work for nobody is not done."""

from __future__ import annotations

import asyncio
from typing import Final

from simulator.conformance.bench import Bench, failed, passed, unknown
from simulator.conformance.berth import Berth
from simulator.conformance.finding import Finding
from simulator.conformance.lines import Line, dial
from simulator.drivers.cpu_time import used_ns

LEAVING: Final = 16
ROUNDS: Final = 3
HEAVY: Final = (2000, 1000, 200)  # rows a request, the most that is taken
PLAIN: Final = 0.15  # CPU seconds for clients who stay; less is done before anybody can know who has left
MOST: Final = 0.75  # of it, done for clients who left: all of it but what noise explains
LOOK: Final = 0.25  # seconds
MOST_LOOKS: Final = 240  # a minute; who works longer works without being asked
QUIET: Final = 0.1  # of one CPU: who is busier than that still works


async def probe(bench: Bench, berth: Berth) -> list[Finding]:
    """Two findings: `neighbours` and `work`."""
    if bench.doubt:
        return [unknown("abandoned", "all", bench.doubt)]
    return [await _neighbours(bench, berth.url), await _work(bench, berth)]


async def _leave(bench: Bench, url: str, bodies: list[bytes], after: float) -> None:
    """Send all of them, and hang up without reading."""
    lines = await asyncio.gather(*(_sent(bench, url, body) for body in bodies))
    await asyncio.sleep(after)
    await asyncio.gather(*(line.close() for line in lines))


async def _sent(bench: Bench, url: str, body: bytes) -> Line:
    line = await dial(url)
    await line.send("POST", bench.wire.path, body)
    return line


async def _neighbours(bench: Bench, url: str) -> Finding:
    """Half of a crowd leaves at once; a batcher that answers by position gives the others their answers."""
    wrong, asked = [], 0
    for k in range(ROUNDS):
        stay = [bench.alone[(k + i) % len(bench.alone)] for i in range(LEAVING)]
        go = [bench.alone[(k + i + 1) % len(bench.alone)].body for i in range(LEAVING)]
        answers, _ = await asyncio.gather(bench.together([one.body for one in stay]), _leave(bench, url, go, 0.0))
        asked += len(stay)
        wrong += [(o, a) for o, a in zip(stay, answers, strict=True) if a.scores and not bench.right(a, o.score)]
        lost = [a for a in answers if not a.scores and a.exchange.status != 429]  # noqa: PLR2004 - refused for load
        wrong += [(o, a) for o, a in zip(stay, answers, strict=True) if a in lost]
    if len(wrong) > 1:
        known, answer = wrong[0]
        again = await bench.ask(known.body)
        if bench.right(again, known.score):
            told = f"got {answer.told()}, alone {known.score:.6g}"
            why = f"{len(wrong)} of {asked} requests beside clients that left {told}"
            repro = (
                bench.curl_together(known.body, [bench.alone[1].body]) + "  # interrupt some of them (--max-time 0.01)"
            )
            return failed("abandoned", "neighbours", why, (again.noted("alone"), answer.noted("beside leavers")), repro)
    if wrong:
        return unknown("abandoned", "neighbours", f"{len(wrong)} of {asked} answers differed, not to be repeated")
    return passed("abandoned", "neighbours", f"{asked} answers beside {ROUNDS * LEAVING} clients that left: all right")


async def _work(bench: Bench, berth: Berth) -> Finding:
    """How much CPU time the server spends on large requests of clients who left, against those of clients who stay.

    Time on the CPU, not on the clock: how long somebody waits says more of a busy machine than of the server. What is
    done before it can know that they have left is no fault: the least of some rounds counts.
    """
    body, rows = b"", 0
    for rows in HEAVY:
        body = bench.wire.body([bench.alone[k % len(bench.alone)].row for k in range(rows)])
        if len((await bench.ask(body, rows)).scores) == rows:
            break
    else:
        return unknown(
            "abandoned", "work", f"{rows} rows in one request are refused: work that is cheap cannot be seen"
        )
    if berth.process is None or not used_ns(berth.process.pid):
        why = "what a server works can be read only where it is started here, on Linux: give `start: {command: [...]}`"
        return unknown("abandoned", "work", why)
    stayed, left = [], []
    for _ in range(ROUNDS):
        stayed.append(await _spent(bench, berth, [body] * LEAVING, stay=True))
        left.append(await _spent(bench, berth, [body] * LEAVING, stay=False))
    if min(*stayed, *left) < 0:
        return unknown(
            "abandoned", "work", "it never rests, or its processes are others now: its work cannot be counted"
        )
    usual, least = sorted(stayed)[ROUNDS // 2], min(left)
    told = (
        f"{LEAVING} requests of {rows} rows take {usual:.3f} s of CPU time if their clients stay, {least:.3f} s if they"
    )
    told += " leave at once"
    if usual < PLAIN:
        return unknown("abandoned", "work", told + ": too little to tell")
    if least > MOST * usual:
        repro = (
            f"# {rows} rows in one request; compare the server's CPU time before and after\n"
            f"for k in $(seq {LEAVING}); do\n  curl --max-time 0.1 … &\ndone; wait\n"
        )
        return failed("abandoned", "work", told, [], repro + bench.curl(bench.alone[0].body))
    if least > usual / 2:
        return unknown("abandoned", "work", told + ": neither most of it nor little")
    return passed("abandoned", "work", told)


async def _spent(bench: Bench, berth: Berth, bodies: list[bytes], *, stay: bool) -> float:
    """CPU seconds that the server spends from the first of these requests until it has nothing left to do.

    Below zero where that cannot be said.
    """
    assert berth.process is not None  # noqa: S101 - the caller looked
    began = used_ns(berth.process.pid)
    if stay:
        await bench.together(bodies)
    else:
        await _leave(bench, berth.url, bodies, 0.0)
    was = used_ns(berth.process.pid)
    for _ in range(MOST_LOOKS):
        await asyncio.sleep(LOOK)
        now = used_ns(berth.process.pid)
        if now - was <= QUIET * LOOK * 1e9:
            return (now - began) * 1e-9
        was = now
    return -1.0

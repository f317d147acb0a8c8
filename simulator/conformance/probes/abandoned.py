"""Clients that leave: those who stay get their own answers, and the work for nobody is not done."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from simulator.conformance.bench import Bench, failed, passed, unknown
from simulator.conformance.finding import Finding
from simulator.conformance.lines import Line, dial

LEAVING: Final = 16
ROUNDS: Final = 3
HEAVY: Final = (2000, 1000, 200)  # rows a request, the most that is taken
PLAIN: Final = 0.2  # seconds that a newcomer must wait behind clients who stay, or the work is too cheap to be seen


async def probe(bench: Bench, url: str) -> list[Finding]:
    """Two findings: `neighbours` and `work`."""
    if bench.doubt:
        return [unknown("abandoned", "all", bench.doubt)]
    return [await _neighbours(bench, url), await _work(bench, url)]


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


async def _work(bench: Bench, url: str) -> Finding:
    """How long a newcomer waits behind large requests of clients who left, against those of clients who stay."""
    body, rows = b"", 0
    for rows in HEAVY:
        body = bench.wire.body([bench.alone[k % len(bench.alone)].row for k in range(rows)])
        if len((await bench.ask(body, rows)).scores) == rows:
            break
    else:
        return unknown(
            "abandoned", "work", f"{rows} rows in one request are refused: work that is cheap cannot be seen"
        )
    idle = await _newcomer(bench)
    staying = [asyncio.create_task(bench.ask(body, rows)) for _ in range(LEAVING)]
    await asyncio.sleep(0.05)
    behind_stayers = await _newcomer(bench)
    await asyncio.gather(*staying)
    if behind_stayers < PLAIN or behind_stayers < 10 * idle:
        why = (
            f"a newcomer waits {behind_stayers * 1e3:.0f} ms behind {LEAVING} requests of {rows} rows: too little to "
            "tell whether work for clients who left is done"
        )
        return unknown("abandoned", "work", why)
    waits = []
    for _ in range(2):
        await _leave(bench, url, [body] * LEAVING, 0.05)
        waits.append(await _newcomer(bench))
        while await _newcomer(bench) > 2 * idle + 0.02:  # noqa: ASYNC110 - the server has no event to wait for
            await asyncio.sleep(0.1)
    told = f"behind {LEAVING} requests of {rows} rows a newcomer waits {behind_stayers:.2f} s if their clients stay"
    told += f", {min(waits):.2f} s if they leave, {idle:.3f} s if there are none"
    if min(waits) > behind_stayers / 2:
        repro = (
            f"# {rows} rows in one request\nfor k in $(seq {LEAVING}); do\n  curl --max-time 0.1 … &\ndone; wait; time "
        )
        return failed("abandoned", "work", told, [], repro + bench.curl(bench.alone[0].body))
    if max(waits) > behind_stayers / 2:
        return unknown("abandoned", "work", told + "; once more than half of it, once less")
    return passed("abandoned", "work", told)


async def _newcomer(bench: Bench) -> float:
    began = time.monotonic()
    await bench.ask(bench.alone[0].body)
    return time.monotonic() - began

"""Worker death: what was asked meanwhile is concluded, and the server scores again or stops saying that it is ready."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from dataclasses import dataclass, field
from itertools import cycle
from typing import Final

from simulator.conformance.bench import Answer, Bench, failed, passed, unknown
from simulator.conformance.berth import Berth
from simulator.conformance.finding import Finding

BACK_WITHIN: Final = 30.0  # seconds for a server to score again, or to say that it cannot
WORKERS: Final = 6  # at most as many are killed, one after the other, in starts of their own
ASKED: Final = 8


@dataclass(slots=True)
class Death:
    """One child killed: what was seen afterwards."""

    what: str
    hung: int = 0
    wrong: int = 0
    lies: list[Answer] = field(default_factory=list)  # not scored, while ready said 200 before and after
    recovered_s: float | None = None
    ended: bool = False
    unready: bool = False


async def probe(bench: Bench, berth: Berth) -> list[Finding]:
    """Three findings: `asked_meanwhile`, `truthful` and `recovery`. The server is started again after each death."""
    if not berth.command or berth.process is None:
        return [unknown("worker_death", "recovery", "the server was not started by us, so its workers are not ours")]
    workers = berth.children()
    if not workers:
        why = "it is one process: whoever started it must start it again, and no worker can die apart from it"
        return [unknown("worker_death", "recovery", why)]
    deaths = []
    for k in range(min(len(workers), WORKERS)):
        there = berth.children()
        if k >= len(there):
            break
        deaths.append(await _kill(bench, berth, there[k]))
        await berth.again()
    return [_meanwhile(deaths), _truthful(bench, berth, deaths), _recovery(deaths)]


async def _kill(bench: Bench, berth: Berth, pid: int) -> Death:
    death = Death(_name(pid))
    crowd = [bench.alone[k % len(bench.alone)] for k in range(ASKED)]
    http, bench.http = bench.http, berth.client(10.0)
    try:
        asked = asyncio.create_task(bench.together([one.body for one in crowd]))
        await asyncio.sleep(0)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()
        for one, answer in zip(crowd, await asked, strict=True):
            death.hung += answer.exchange.failure == "no answer in time"
            death.wrong += bool(answer.scores) and not bench.right(answer, one.score)
        await _watch(bench, berth, death, killed)
    finally:
        await bench.http.aclose()
        bench.http = http
    return death


def _name(pid: int) -> str:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/comm", encoding="utf-8") as file:  # noqa: PTH123 - one line
        return file.read().strip()
    return "worker"


async def _watch(bench: Bench, berth: Berth, death: Death, killed: float) -> None:
    """Ask until ASKED answers in a row are right, the process ends, or the time is over.

    About rows that nobody has asked about since the start: what a cache knows is answered without any worker.
    """
    unasked, right = cycle(bench.company or bench.alone[ASKED:] or bench.alone), 0
    ready = berth.target.start.ready or "/"
    while time.monotonic() < killed + BACK_WITHIN:
        if not berth.running:
            death.ended = True
            return
        known = next(unasked)
        before = (await bench.call("GET", ready)).status
        answer = await bench.ask(known.body)
        after = (await bench.call("GET", ready)).status
        if bench.right(answer, known.score):
            right += 1
            if right >= ASKED:
                death.recovered_s = time.monotonic() - killed
                return
            continue
        right = 0
        death.wrong += bool(answer.scores)
        if before == after == 200:  # noqa: PLR2004 - OK
            death.lies.append(answer)
        else:
            death.unready = True
        await asyncio.sleep(0.2)


def _meanwhile(deaths: list[Death]) -> Finding:
    bad = [d for d in deaths if d.hung or d.wrong]
    if not bad:
        why = f"{len(deaths)} workers killed, {ASKED} requests each time: all answered rightly or failed at once"
        return passed("worker_death", "asked_meanwhile", why)
    first = bad[0]
    what = f"{first.hung} requests hung for 10 s" if first.hung else f"{first.wrong} got a wrong score"
    why = f"after the death of {first.what} {what} ({len(bad)} of {len(deaths)} deaths)"
    return failed("worker_death", "asked_meanwhile", why, [], "kill -KILL $WORKER_PID  # while requests are under way")


def _truthful(bench: Bench, berth: Berth, deaths: list[Death]) -> Finding:
    if berth.target.start.ready is None:
        return unknown("worker_death", "truthful", "the target file names no ready path (start.ready)")
    # One look may fall between death and detection: a lie is told for a while.
    lying = [d for d in deaths if len(d.lies) > ASKED and d.recovered_s is None]
    if not lying:
        return passed("worker_death", "truthful", "after each death it scored again, ended, or was not ready")
    first = lying[0]
    told = f"it says ready for {BACK_WITHIN:.0f} s, and a valid row gets {first.lies[-1].told()}"
    why = f"after the death of {first.what} {told}"
    repro = (
        f'kill -KILL $WORKER_PID; sleep 10\ncurl -sS -w "%{{http_code}}\\n" "$URL"{berth.target.start.ready}\n'
        + bench.curl(bench.alone[0].body)
    )
    return failed("worker_death", "truthful", why, [first.lies[-1].noted("while it says ready")], repro)


def _recovery(deaths: list[Death]) -> Finding:
    told = []
    stuck = []
    for death in deaths:
        if death.recovered_s is not None:
            told.append(f"{death.what}: scores again after {death.recovered_s:.1f} s")
        elif death.ended:
            told.append(f"{death.what}: the whole server ended, so that it can be started again")
        else:
            said = "not ready" if death.unready else "ready all the time"
            told.append(f"{death.what}: scored no more within {BACK_WITHIN:.0f} s, {said}")
            stuck.append(death)
    if stuck:
        evidence = [a.noted("after the death") for d in stuck for a in d.lies[-1:]]
        return failed("worker_death", "recovery", "; ".join(told), evidence, "kill -KILL $WORKER_PID; sleep 30; curl …")
    return passed("worker_death", "recovery", "; ".join(told))

"""Graceful stop: what was accepted before SIGTERM is answered, and then the process ends."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass
from typing import Final

from simulator.conformance.bench import Alone, Answer, Bench, failed, passed, unknown
from simulator.conformance.berth import STOP_WITHIN, Berth
from simulator.conformance.finding import Exchange, Finding
from simulator.conformance.lines import Line, accepted

AT_ONCE: Final = 24
REPLY_WITHIN: Final = 30.0
HEAVY: Final = (1, 200, 2000)  # rows a request: more, until some are still unanswered when the signal comes


@dataclass(frozen=True, slots=True)
class Stop:
    """One stop under load."""

    open: int  # sent, and unanswered when the signal was sent
    lost: tuple[str, ...]
    wrong: int
    in_time: bool
    code: int | None
    rows: int


async def probe(bench: Bench, berth: Berth) -> list[Finding]:
    """Two findings: `in_flight` and `ends`. The server is started again afterwards."""
    if not berth.command or berth.process is None:
        why = "the server was not started by us, so it is not ours to stop"
        return [unknown("stop", "in_flight", why), unknown("stop", "ends", why)]
    stops: list[Stop] = []
    for rows in HEAVY:
        stop = await _stop(bench, berth, rows)
        await berth.again()
        if stop is None:
            break
        stops.append(stop)
        if stop.open and stop.lost:
            second = await _stop(bench, berth, rows)
            await berth.again()
            stops += [second] if second else []
            break
        if stop.open >= AT_ONCE // 4:
            break
    return [_in_flight(bench, stops), _ends(stops)]


async def _stop(bench: Bench, berth: Berth, rows: int) -> Stop | None:
    """TERM while AT_ONCE requests are on accepted connections; None if so many rows are refused anyway."""
    assert berth.process is not None  # noqa: S101 - the caller has looked
    ready = berth.target.start.ready or "/"
    crowd = [bench.alone[k % len(bench.alone)] for k in range(AT_ONCE)]
    bodies = [bench.wire.body([one.row] * rows) for one in crowd]
    control = await bench.ask(bodies[0], rows)
    if len(control.scores) != rows:
        return None
    lines = await asyncio.gather(*(accepted(berth.url, ready) for _ in crowd))
    done: list[int] = []
    await asyncio.gather(*(line.send("POST", bench.wire.path, b) for line, b in zip(lines, bodies, strict=True)))
    replies = [asyncio.create_task(_reply(line, k, done)) for k, line in enumerate(lines)]
    await asyncio.sleep(0.01)  # the bytes are in the server's sockets
    still_open = AT_ONCE - len(done)
    berth.process.send_signal(signal.SIGTERM)
    answers = await asyncio.gather(*replies)
    in_time = await berth.ended()
    for line in lines:
        await line.close()
    lost = tuple(failure for _, _, failure in answers if failure)
    wrong = sum(_wrong(bench, one, status, body, rows) for one, (status, body, _) in zip(crowd, answers, strict=True))
    return Stop(still_open, lost, wrong, in_time, berth.process.returncode, rows)


async def _reply(line: Line, k: int, done: list[int]) -> tuple[int, bytes, str]:
    try:
        status, body = await asyncio.wait_for(line.receive(), REPLY_WITHIN)
    except ConnectionError as error:
        return 0, b"", f"connection lost ({type(error).__name__})"
    except TimeoutError:
        return 0, b"", f"no answer within {REPLY_WITHIN:.0f} s"
    done.append(k)
    return status, body, ""


def _wrong(bench: Bench, one: Alone, status: int, body: bytes, rows: int) -> bool:
    if not status:
        return False
    answer = Answer(Exchange("POST", bench.wire.path, b"", status, body), bench.wire.read(status, body, rows))
    # A fallback that says that it is one is honest, also in a hurry.
    return any(not (bench.same(score, one.score) or answer.declared(k)) for k, score in enumerate(answer.scores))


def _in_flight(bench: Bench, stops: list[Stop]) -> Finding:
    if not any(stop.open for stop in stops):
        return unknown("stop", "in_flight", "it answers too quickly: nothing was unanswered when the signal came")
    losing = [stop for stop in stops if stop.lost]
    last = losing[0] if losing else stops[-1]
    bodies = bench.wire.body([bench.alone[0].row] * min(last.rows, 200))
    repro = (
        f"# {last.rows} rows a request; PID is the server's\nfor k in $(seq {AT_ONCE}); do\n"
        f"  {bench.curl(bodies)} &\ndone; sleep 0.05; kill -TERM $PID; wait"
    )
    if len(losing) > 1:
        why = (
            f"{len(last.lost)} of {last.open} requests that were sent on accepted connections before SIGTERM got no "
            f"answer: {last.lost[0]} (again in a second stop: {len(losing[1].lost)} of {losing[1].open})"
        )
        evidence = [Exchange("POST", bench.wire.path, b"", 0, b"", last.lost[0], f"{last.rows} rows, before SIGTERM")]
        return failed("stop", "in_flight", why, evidence, repro)
    if losing:
        return unknown("stop", "in_flight", f"{len(last.lost)} requests were lost once, and none in a second stop")
    wrong = sum(stop.wrong for stop in stops)
    if wrong:
        return failed("stop", "in_flight", f"{wrong} requests got a wrong score while it stopped", [], repro)
    told = f"{last.open} requests of {last.rows} rows were unanswered at SIGTERM: all were answered"
    return passed("stop", "in_flight", told)


def _ends(stops: list[Stop]) -> Finding:
    if not stops:
        return unknown("stop", "ends", "it could not be stopped under load")
    if not all(stop.in_time for stop in stops):
        why = f"the process was still there {STOP_WITHIN:.0f} s after SIGTERM"
        return failed("stop", "ends", why, [], "kill -TERM $PID; sleep 30; kill -0 $PID && echo still there")
    return passed("stop", "ends", f"the process ended after SIGTERM, code {stops[-1].code}")

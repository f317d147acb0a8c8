"""What a running target really does, beside what its file says. Asks only; releases nothing and breaks nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from simulator.conformance.bench import Bench
from simulator.conformance.berth import Berth, moored
from simulator.survey.abilities import Ability
from simulator.targets.model import Target

SCORES: Final = "scores a row"


async def look(target: Target, path: Path, rows: list[Mapping[str, Any]]) -> tuple[Ability, ...]:
    """Start the target, or reach it, and try what can be tried without harm. Raises TargetDown."""
    async with moored(target, path) as berth, berth.client(5.0) as http:
        bench = Bench(target, http, rows)
        found = [*(await _scores(bench) if rows else ())]
        for name, route in (("quality", target.quality), ("monitors", target.monitors)):
            if route is not None:
                found.append(await _answers(berth, bench, name, f"GET {route}"))
        if target.labels is not None:
            found.append(await _answers(berth, bench, "labels", f"POST {target.labels.post}", body=b'{"labels": []}'))
        return tuple(found)


async def _scores(bench: Bench) -> list[Ability]:
    answer = await bench.score(bench.rows[0])
    for _ in range(20):
        if answer.scores:
            break
        await asyncio.sleep(0.25)
        answer = await bench.score(bench.rows[0])
    reply, read = answer.reply, bench.target.read
    found = [Ability(SCORES, bool(answer.scores), answer.quoted())]
    if answer.scores:
        # A path that is written down and finds nothing is worse than one that is not: it would look like an answer.
        if read.version is not None or bench.target.protocol == "oip-v2":
            found.append(Ability("names its version", bool(reply.version), reply.version or "the reply names none"))
        for name, said, got in (("source", read.source, reply.sources), ("decision", read.decision, reply.decisions)):
            if said is not None:
                told = ", ".join(str(getattr(one, "name", one)).lower() for one in got) or f"{said} finds nothing"
                found.append(Ability(f"gives its {name}", bool(got), told))
    return found


async def _answers(berth: Berth, bench: Bench, name: str, action: str, *, body: bytes = b"") -> Ability:
    method, _, path = action.partition(" ")
    exchange = await bench.call(method, path, body, {"authorization": f"Bearer {berth.token}"})
    fine = 200 <= exchange.status < 300  # noqa: PLR2004 - HTTP's success range
    return Ability(f"answers {name}", fine, f"{action}: {exchange.status or exchange.failure}")

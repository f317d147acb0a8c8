"""Errors tell the caller what is wrong, and nothing about the inside. Runs last: it reads all errors seen before."""

from __future__ import annotations

import json
import re
from typing import Final

from simulator.conformance.bench import Bench, curl, failed, listed, passed, unknown
from simulator.conformance.finding import Exchange, Finding

_LEAKS: Final = {
    "a stack trace": re.compile(rb"Traceback \(most recent call last\)|\bat [\w.$]+\([\w]+\.java:\d+\)"),
    "a line of source": re.compile(rb'File \\?"[^"\n]+\\?", line \d+'),
    "a path of the machine": re.compile(rb"(?<![\w/.:])/(?:usr|home|root|opt|tmp|var|srv|app|mnt)/[\w.\-/]+"),
    "the place of a library": re.compile(rb"(?:site|dist)-packages"),
    "an address in memory": re.compile(rb"\bobject at 0x[0-9a-f]{6,}"),
}


async def probe(bench: Bench) -> list[Finding]:
    """Four findings: `leak`, `body`, `http` (what is no inference at all) and `json` (200 with invalid JSON)."""
    http = await _http(bench)
    return [http, _leak(bench), _body(bench), _json(bench)]


def leaks(body: bytes) -> list[str]:
    """What an error body gives away."""
    return [name for name, pattern in _LEAKS.items() if pattern.search(body)]


async def _http(bench: Bench) -> Finding:
    """No such path: 404. Wrong method: 4xx. Both are the caller's mistakes."""
    wrong, told = [], []
    for what, method, path in (("unknown path", "GET", "/seatrial-nowhere"),
                               ("wrong method", "DELETE", bench.wire.path)):  # fmt: skip
        exchange = await bench.call(method, path)
        told.append(f"{what}: {exchange.status or exchange.failure}")
        if not 400 <= exchange.status < 500:  # noqa: PLR2004 - HTTP's client errors
            wrong.append(exchange)
    if wrong and all(exchange.failure for exchange in wrong):
        return unknown("errors", "http", "; ".join(told) + ": nobody is there to be held to it")
    if wrong:
        first = wrong[0]
        return failed("errors", "http", "; ".join(told), wrong, curl(first.method, first.path))
    return passed("errors", "http", "; ".join(told))


def _leak(bench: Bench) -> Finding:
    if not bench.errors:
        return unknown("errors", "leak", "no request was answered with an error")
    leaking = [(e, found) for e in bench.errors if (found := leaks(e.reply))]
    if not leaking:
        return passed("errors", "leak", f"{len(bench.errors)} errors: no stack, no path, no address in any")
    exchange, found = leaking[0]
    why = f"{len(leaking)} of {len(bench.errors)} error bodies hold {listed(found)}"
    return failed("errors", "leak", why, [exchange], curl(exchange.method, exchange.path, exchange.body))


def _body(bench: Bench) -> Finding:
    """A refusal without a word helps nobody."""
    refused = [e for e in bench.errors if e.status < 500 and e.method == "POST"]  # noqa: PLR2004 - client errors
    if not refused:
        return unknown("errors", "body", "no request was refused with a 4xx")
    mute = [e for e in refused if not e.reply.strip()]
    if mute:
        why = f"{len(mute)} of {len(refused)} refusals have no body"
        return failed("errors", "body", why, mute[:1], curl(mute[0].method, mute[0].path, mute[0].body))
    return passed("errors", "body", f"{len(refused)} refusals, each with a body")


def _json(bench: Bench) -> Finding:
    broken = [e for e in bench.invalid if e.status == 200 and not _is_json(e)]  # noqa: PLR2004 - OK
    if broken:
        first = broken[0]
        why = f"{len(broken)} answers of 200 are no JSON (NaN and Infinity are no JSON numbers)"
        return failed("errors", "json", why, [first], curl(first.method, first.path, first.body))
    return passed("errors", "json", "every answer of 200 was JSON")


def _is_json(exchange: Exchange) -> bool:
    def refuse(token: str) -> None:
        raise ValueError(token)

    try:
        json.loads(exchange.reply, parse_constant=refuse)
    except ValueError:
        return False
    return True

"""Who may do what: releases are for those who hold the token, and whoever comes too soon is told when to come back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from simulator.conformance.bench import Bench, curl, failed, passed, unknown
from simulator.conformance.finding import Exchange, Finding

BURSTS: Final = (64, 256, 512)  # requests at once; the first burst of which some are refused is enough
_ROWS: Final = 64  # of each of them
_REFUSED: Final = (401, 403)
NOWHERE: Final = "seatrial-no-such-version"  # what is asked for, so that whoever lets us in has nothing to do


async def probe(bench: Bench, token: str) -> list[Finding]:
    """Two findings: `token` (strangers at the control plane) and `retry_after` (what a refused crowd is told)."""
    return [await _token(bench, token), await retry_after(bench)]


async def _token(bench: Bench, token: str) -> Finding:
    """A release is asked for by nobody, and by somebody with another token: neither may get further than the door."""
    if bench.target.admin.release is None:
        return unknown("admission", "token", "the target file names no `admin.release`")
    method, _, path = bench.target.admin.release.partition(" ")
    body = json.dumps({"version": NOWHERE, "by": "swap"}).encode()
    strangers = {"without a token": {}, "with another token": {"authorization": f"Bearer {token[::-1]}x"},
                 "with an empty one": {"authorization": "Bearer"}}  # fmt: skip
    asked = {who: await bench.call(method, path, body, headers) for who, headers in strangers.items()}
    told = "; ".join(f"{who}: {exchange.status or exchange.failure}" for who, exchange in asked.items())
    within = [exchange for exchange in asked.values() if exchange.status not in _REFUSED]
    if any(not exchange.status for exchange in within):
        return unknown("admission", "token", told)
    if within:
        return failed("admission", "token", f"a release is let in, {told}", within, curl(method, path, body))
    return passed("admission", "token", told)


async def retry_after(bench: Bench) -> Finding:
    """Of a crowd some are refused; `Retry-After: 0`, or none that can be read, sends them all back at once."""
    if bench.doubt:
        return unknown("admission", "retry_after", bench.doubt)
    shed = bench.target.errors.shed
    rows = [bench.rows[k % len(bench.rows)] for k in range(_ROWS)]
    body = bench.wire.body(rows)
    for crowd in BURSTS:
        refused = [reply for reply in await _at_once(bench, body, crowd) if reply.status_code in shed]
        if not refused:
            continue
        said = [reply.headers["retry-after"] for reply in refused if "retry-after" in reply.headers]
        if not said:
            why = f"{len(refused)} of {crowd} at once were refused, and none was told when to come back"
            return unknown("admission", "retry_after", why)
        if wrong := [value for value in said if not later(value)]:
            why = f"of {crowd} at once {len(refused)} were refused; {len(wrong)} were told `Retry-After: {wrong[0]}`"
            first = next(reply for reply in refused if reply.headers.get("retry-after") == wrong[0])
            shown = Exchange(
                "POST", bench.wire.path, body, first.status_code, first.content, note=f"of {crowd} at once"
            )
            return failed("admission", "retry_after", why, [shown], curl("POST", bench.wire.path, body))
        told = f"{len(refused)} of {crowd} at once were refused, and told to come back after {_seconds(said)}"
        return passed("admission", "retry_after", told)
    return unknown("admission", "retry_after", f"of {BURSTS[-1]} requests at once none was refused")


async def _at_once(bench: Bench, body: bytes, crowd: int) -> list[httpx.Response]:
    bench.requests += crowd
    headers = {"content-type": "application/json"}
    calls = (bench.http.post(bench.wire.path, content=body, headers=headers) for _ in range(crowd))
    came = await asyncio.gather(*calls, return_exceptions=True)
    return [reply for reply in came if isinstance(reply, httpx.Response)]


def later(value: str) -> bool:
    """Whether a `Retry-After` (RFC 9110, 10.2.3) sends its reader away: seconds above zero, or a date."""
    if value.isascii() and value.isdigit():
        return int(value) > 0
    try:
        return parsedate_to_datetime(value) is not None
    except ValueError:
        return False


def _seconds(said: Sequence[str]) -> str:
    found = sorted(set(said), key=lambda value: (len(value), value))
    return f"{found[0]} s" if len(found) == 1 else f"{found[0]} to {found[-1]} s"

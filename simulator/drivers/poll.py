"""An observer that asks: the alerts of a Prometheus, as changes from one look to the next."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

import httpx

from simulator.targets.model import POLLED, Match, Poll
from simulator.targets.sink import Sink

_PATIENCE: Final = 5.0  # seconds for one answer


async def watch(poll: Poll, sink: Sink, until: Callable[[int], Awaitable[None]]) -> None:
    """Ask at each multiple of ``poll.every``, for as long as this task lives. What cannot be read becomes a note."""
    firing: dict[str, dict[str, str]] = {}
    looks = 0
    async with httpx.AsyncClient(timeout=_PATIENCE, trust_env=False) as http:
        while True:
            looks += 1
            await until(looks * poll.every)
            try:
                found = listed((await http.get(f"{poll.prometheus.rstrip('/')}/api/v1/alerts")).json())
            except (httpx.HTTPError, ValueError) as error:
                sink.unread(POLLED, f"{type(error).__name__}: {error}")
                await asyncio.sleep(0)
                continue
            sink.take(POLLED, [*changes(firing, found, sink.match)])
            sink.beats(POLLED, [labels.get(sink.match.name, "") for labels in found.values()])
            firing = found


def listed(document: Any) -> dict[str, dict[str, str]]:
    """Fingerprint → labels of what fires in a reply of ``/api/v1/alerts``; pending alerts page nobody.

    Raises:
        ValueError: it is no such reply.
    """
    try:
        alerts = document["data"]["alerts"]
        return {fingerprint(a["labels"]): dict(a["labels"]) for a in alerts if a["state"] == "firing"}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no list of alerts: {error!r}") from error


def fingerprint(labels: dict[str, str]) -> str:
    """One alert is one set of labels."""
    return hashlib.blake2b(repr(sorted(labels.items())).encode(), digest_size=8).hexdigest()


def changes(
    before: dict[str, dict[str, str]], now: dict[str, dict[str, str]], match: Match
) -> list[tuple[str, str, str, str, bool]]:
    """(fingerprint, name, field, severity, whether it fires) of each alert that began or ended between two looks."""
    begun = [(key, labels, True) for key, labels in now.items() if key not in before]
    ended = [(key, labels, False) for key, labels in before.items() if key not in now]
    return [
        (key, labels.get(match.name, ""), labels.get(match.field, ""), labels.get(match.severity, ""), fires)
        for key, labels, fires in [*begun, *ended]
    ]

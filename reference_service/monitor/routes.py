"""Sending alerts. A send never blocks a request, and what could not be sent is tried again at the next tick."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from reference_service.clock import SECOND, Clock
from reference_service.monitor.alerts import Notification, fingerprint
from reference_service.monitor.formats import FORMATS, Format
from reference_service.monitor.post import Closing, Post

_ATTEMPTS = 2  # per tick; the next tick tries again
_PAUSE_NS = SECOND  # between the two
_OUTBOX = 1024  # notifications kept for a receiver that is down; the oldest go first


class Route:
    """One receiver and what it has not got yet, in order.

    Args:
        url: where to POST.
        encode: the receiver's format.
        post: shared by all routes.
        service: label on the alerts.
        routing_key: PagerDuty's.
    """

    __slots__ = (
        "_clock",
        "_encode",
        "_post",
        "_routing_key",
        "_service",
        "_task",
        "_url",
        "failed",
        "lost",
        "outbox",
        "sent",
    )

    def __init__(self, url: str, encode: Format, post: Post, *, clock: Clock, service: str, routing_key: str) -> None:
        self._url = url
        self._encode = encode
        self._post = post
        self._clock = clock
        self._service = service
        self._routing_key = routing_key
        self._task: asyncio.Task[None] | None = None
        self.outbox: deque[Notification] = deque(maxlen=_OUTBOX)
        self.sent = 0
        self.failed = 0
        self.lost = 0  # notifications for which there was no room

    def flush(self) -> None:
        """Start sending what is due, unless that is still under way."""
        if self.outbox and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._drain())

    def stop(self) -> None:
        """Give up a send that is under way."""
        if self._task is not None:
            self._task.cancel()

    async def _drain(self) -> None:
        while self.outbox:
            note = self.outbox[0]
            if not await self._deliver(note) and note.severity != "none":
                return  # in order, at the next tick; a missed heartbeat is not made up for
            if self.outbox and self.outbox[0] is note:
                self.outbox.popleft()

    async def _deliver(self, note: Notification) -> bool:
        body = msgspec.json.encode(self._encode(note, self._service, self._routing_key))
        for attempt in range(_ATTEMPTS):
            if attempt:
                await self._clock.sleep(_PAUSE_NS)
            try:
                status = await self._post(self._url, body)
            except OSError:
                self.failed += 1
                continue
            if 200 <= status < 300:  # noqa: PLR2004 - HTTP's successes
                self.sent += 1
                return True
            self.failed += 1
        return False


class Routes:
    """Every configured receiver, and the heartbeat that proves the path.

    Args:
        urls: route name → URL.
        post: how a body gets to any of them.
        clock: for pauses.
        service: label on the alerts.
        routing_key: PagerDuty's.
    """

    __slots__ = ("_beat", "_post", "routes")

    def __init__(self, urls: Mapping[str, str], post: Post, *, clock: Clock, service: str, routing_key: str) -> None:
        self._post = post
        mark, summary = fingerprint(service, "Watchdog", ""), "the alert path works"
        self._beat = Notification("Watchdog", "", "none", mark, firing=True, summary=summary, starts_ns=0, ends_ns=0)
        self.routes = {
            name: Route(url, FORMATS[name], post, clock=clock, service=service, routing_key=routing_key)
            for name, url in urls.items()
        }

    def tell(self, notes: list[Notification]) -> None:
        """Queue notifications for every receiver."""
        for name, route in self.routes.items():
            due = [note for note in notes if not note.routes or name in note.routes]
            route.lost += max(0, len(route.outbox) + len(due) - _OUTBOX)
            route.outbox.extend(due)

    def repeat(self, standing: Iterable[Notification]) -> None:
        """Tell again what stands, where a receiver takes silence for the end."""
        route = self.routes.get("alertmanager_v2")
        if route is not None and not route.outbox:
            route.outbox.extend(note for note in standing if not note.routes or "alertmanager_v2" in note.routes)

    def flush(self) -> None:
        """Start sending, together with what is left from before."""
        for route in self.routes.values():
            if route.outbox:
                route.flush()

    def heartbeat(self, now_ns: int) -> Notification:
        """The watchdog's notification: always firing, severity none."""
        return self._beat._replace(starts_ns=now_ns)

    def keep(self) -> dict[str, list[list[Any]]]:
        """What each receiver has not got yet, for a restart."""
        return {name: [list(note) for note in route.outbox] for name, route in self.routes.items()}

    def recall(self, kept: Mapping[str, list[list[Any]]]) -> None:
        """The reverse of `keep`, for the routes that are still there."""
        found = {name: [Notification(*note) for note in notes] for name, notes in kept.items()}
        for name, notes in found.items():
            if name in self.routes:
                self.routes[name].outbox.extend(notes)

    async def close(self) -> None:
        """Stop sending, and let go of what sends."""
        for route in self.routes.values():
            route.stop()
        if isinstance(self._post, Closing):
            await self._post.aclose()

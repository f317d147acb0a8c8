"""The reference service behind an Alertmanager that tells again what still fires, as each does after `repeat_interval`.

Only what Alertmanager's own webhook would carry is repeated. Whoever receives it must not take the second notification
for a second incident.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final

from reference_service import app
from reference_service.clock import SECOND, Clock
from reference_service.monitor.post import Post

# Longer than the five minutes within which the harness would take two episodes for one anyway.
REPEAT_NS: Final = 6 * 60 * SECOND


class Repeating:
    """A `Post` that passes on what it is given, and again, every so often, what has not been resolved since.

    Args:
        post: where to.
        clock: for the interval.
    """

    def __init__(self, post: Post, clock: Clock) -> None:
        self._post = post
        self._clock = clock
        self._firing: dict[str, asyncio.Task[None]] = {}  # fingerprint → who repeats it

    async def __call__(self, url: str, body: bytes) -> int:
        """Raises OSError where nobody answers."""
        status = await self._post(url, body)
        if url.endswith("/alertmanager"):
            (alert,) = json.loads(body)["alerts"]
            mark, heartbeat = alert["fingerprint"], alert["labels"]["severity"] == "none"
            if alert["status"] == "resolved" and mark in self._firing:
                self._firing.pop(mark).cancel()
            elif alert["status"] == "firing" and not heartbeat and mark not in self._firing:
                self._firing[mark] = asyncio.create_task(self._again(url, body))
        return status

    async def _again(self, url: str, body: bytes) -> None:
        while True:
            await self._clock.sleep(REPEAT_NS)
            await self._post(url, body)

    async def aclose(self) -> None:
        """Nothing is repeated any more."""
        for task in self._firing.values():
            task.cancel()


def create_app(settings: Mapping[str, Any], *, clock: Clock, seams: Any, post: Post) -> app.App:
    """The service as it is shipped; its alerts go through."""
    return app.create_app(settings, clock=clock, seams=seams, post=Repeating(post, clock))

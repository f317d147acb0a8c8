"""Settings and a clock in, an ASGI app out: its start, its end, and the ticks between.

>>> app = create_app({"bundles": "scenarios/bundles/payments", "token": "secret"})
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from reference_service import settings as configuration
from reference_service.api import keyed
from reference_service.api.control import Handler
from reference_service.api.http import ASGI, Edge, Receive, Scope, Send
from reference_service.api.oip import problem
from reference_service.assembly import Seams
from reference_service.audit import recall
from reference_service.clock import Clock, LoopClock
from reference_service.composition import compose
from reference_service.monitor.post import Post
from reference_service.service import Service
from reference_service.settings import Settings


def create_app(
    settings: Mapping[str, Any] | None = None,
    *,
    clock: Clock | None = None,
    seams: Seams | None = None,
    post: Post | None = None,
) -> App:
    """The ASGI app. Bundles are loaded at its lifespan's startup; until then it is alive and not ready.

    Args:
        settings: see `settings.Settings`.
        clock: what is waited on and measured by; the running loop's time unless given.
        seams: name of a dependency (``feature_store``, ``model``) → what to wrap its call in. A call returns its
            value or an awaitable of it.
        post: sends alerts: a URL and a JSON body in, an HTTP status out; over HTTP unless given.

    Raises:
        SettingsError: naming the key.
    """
    return App(configuration.read(settings), clock or LoopClock(), seams or {}, post)


class Beside(Protocol):
    """Something that lives as long as the service, and is spoken to through its control plane."""

    def routes(self, edge: Edge) -> Mapping[tuple[str, str], Handler]:
        """(method, path) → handler. Called once, at the start."""

    def stop(self) -> None:
        """The service ends."""


class App:
    """Lifespan, and the edge once it is there.

    Args:
        settings: checked.
        clock: injected into every part.
        seams: wrappers of dependency calls.
        post: sends alerts; over HTTP unless given.
        beside: what else the control plane offers.
    """

    def __init__(
        self, settings: Settings, clock: Clock, seams: Seams, post: Post | None = None, beside: Beside | None = None
    ) -> None:
        self._beside = beside
        self._settings = settings
        self._clock = clock
        self._seams = seams
        self._post = post
        self._ticker: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None
        self.edge: Edge | None = None
        self.serve: ASGI | None = None  # the edge, and what stands around it

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI scope."""
        if scope["type"] == "http":
            if self.serve is not None:
                await self.serve(scope, receive, send)
            else:
                await _unready(scope, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            raise ValueError(f"no such protocol here: {scope['type']}")

    async def startup(self) -> Service:
        """Load, compose, and start ticking. Raises BundleError, PolicyError or OSError."""
        service = compose(self._settings, self._clock, self._seams, self._post)
        await _recall(service)
        self.edge = self.serve = Edge(service)
        if self._beside is not None:
            self.edge.core.offer(self._beside.routes(self.edge))
        if self._settings.traces:
            # Only who traces needs the library, and only then does a request pay for it.
            from reference_service.api.tracing import Traced  # noqa: PLC0415

            self.serve = Traced(self.edge, self._clock)
        loop = asyncio.get_running_loop()
        self._ticker = loop.create_task(_tick_for_ever(service))
        if service.follower is not None:
            self._following = loop.create_task(service.follower.follow(self._clock))
        return service

    async def shutdown(self) -> None:
        """Stop ticking, write what is left of the log, let go of the routes."""
        if self.edge is None or self._ticker is None:
            return
        service, self.edge, self.serve = self.edge.service, None, None
        self._ticker.cancel()
        if self._beside is not None:
            self._beside.stop()
        if service.follower is not None and self._following is not None:
            self._following.cancel()
            service.follower.save()
        await service.log.close()
        await service.routes.close()
        await service.connections.close()
        for model in service.foreign:
            model.close()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.startup()
        except Exception as error:  # noqa: BLE001  # whatever it is, the server has to be told, and only the kind of it
            await send({"type": "lifespan.startup.failed", "message": f"{type(error).__name__}: {error}"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.shutdown()
        await send({"type": "lifespan.shutdown.complete"})


async def _unready(scope: Scope, send: Send) -> None:
    live = scope["path"] == "/v2/health/live"
    asked = live or scope["path"] == "/v2/health/ready"
    body = b'{"live":true}' if live else b'{"ready":false}' if asked else problem(503, "Starting", "not ready yet")
    kind = b"application/json" if asked else b"application/problem+json"
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), (b"retry-after", b"1")]
    await send({"type": "http.response.start", "status": 200 if live else 503, "headers": headers[: 2 if live else 3]})
    await send({"type": "http.response.body", "body": body})


async def _recall(service: Service) -> None:
    """Know the answers again that were given before the restart."""
    folder, guard = service.settings.decision_log, service.idempotency
    if folder is None or guard is None:
        return
    policy = service.policy
    since_ns = service.clock.now_ns() - policy.idempotency_ns
    decisions = recall.keyed(Path(folder), since_ns, policy.idempotency_recall)
    await keyed.recall(guard.store, decisions, service.releases.champion.bundle.contract.model)


async def _tick_for_ever(service: Service) -> None:
    """Tick at the start and at every multiple of `tick_ns` from it."""
    clock, step = service.clock, service.policy.tick_ns
    due = clock.now_ns()
    while True:
        try:
            service.tick(service, clock.now_ns())
        except Exception:  # a monitor that crashes must not take answering with it; its heartbeat stays away and tells
            logging.getLogger("reference_service").exception("a tick failed")
        due += step
        await clock.sleep(due - clock.now_ns())

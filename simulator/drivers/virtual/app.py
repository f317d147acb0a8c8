"""The service in process: loading its ASGI app, its lifespan, and calls of its control plane."""

from __future__ import annotations

import asyncio
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from simulator.drivers.virtual.clocks import EPOCH_NS
from simulator.drivers.virtual.cpu import Wait
from simulator.drivers.virtual.loop import VirtualLoop

App = Callable[..., Any]


class VirtualClock:
    """The clock that a service takes instead of reading the time: wall nanoseconds and a sleep."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def now_ns(self) -> int:
        """Wall time in nanoseconds since 1970."""
        return EPOCH_NS + self._loop.now_ns

    async def sleep(self, ns: int) -> None:
        """Resume `ns` nanoseconds from now."""
        await Wait(self._loop, self._loop.now_ns + max(0, ns))


def resolve(reference: str) -> Any:
    """The object named ``module:attribute``. Raises ValueError saying what is missing."""
    module, _, name = reference.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise ValueError(f"start.asgi: cannot import {module!r}: {error}") from error
    except AttributeError as error:
        raise ValueError(f"start.asgi: {module!r} has no {name!r}") from error


def takes_clock(reference: str) -> bool:
    """Whether the service is injected with the clock, so that nothing needs patching."""
    found = resolve(reference)
    return inspect.isfunction(found) and "clock" in inspect.signature(found).parameters


def build(reference: str, offered: Mapping[str, Any]) -> App:
    """The ASGI app: the named object itself, or what its factory makes of those of `offered` that it asks for."""
    found = resolve(reference)
    if not inspect.isfunction(found) or inspect.iscoroutinefunction(found):
        app: App = found
        return app
    wanted = inspect.signature(found).parameters
    made: App = found(**{k: v for k, v in offered.items() if k in wanted})
    return made


class Lifespan:
    """ASGI lifespan: startup before the first request, shutdown after the last."""

    def __init__(self, loop: VirtualLoop, app: App) -> None:
        self._loop = loop
        self._app = app
        self._to_app: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self._from_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self.state: dict[str, Any] = {}

    async def startup(self) -> None:
        """Raises RuntimeError if the service says that it cannot start."""
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        self._task = self._loop.create_task(self._run(scope), name="lifespan")
        await self._step("lifespan.startup")

    async def shutdown(self) -> None:
        """Let the service end its background work."""
        if self._task is not None and not self._task.done():
            await self._step("lifespan.shutdown")
            await self._task

    async def _run(self, scope: dict[str, Any]) -> None:
        try:
            await self._app(scope, self._to_app.get, self._from_app.put)
            message = "it returned"
        except Exception as error:  # noqa: BLE001 - an app without lifespan raises here, by the specification
            message = f"{type(error).__name__}: {error}"
        # Whoever still waits for an answer must not wait for ever; ASGI says that such an app goes without.
        await self._from_app.put({"type": "unsupported", "message": message})

    async def _step(self, kind: str) -> None:
        await self._to_app.put({"type": kind})
        answer = await self._from_app.get()
        if answer["type"].endswith(".failed"):
            raise RuntimeError(f"the service failed at {kind}: {answer.get('message', '')}")


async def call(app: App, method: str, path: str, body: bytes = b"", token: str = "") -> tuple[int, bytes]:
    """One control-plane request; (status, body). A crash of the app is status 500."""
    bare, _, query = path.partition("?")
    headers = [(b"host", b"service"), (b"content-type", b"application/json")]
    headers += [(b"content-length", str(len(body)).encode())]
    if token:
        headers.append((b"authorization", b"Bearer " + token.encode()))
    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": method,
        "scheme": "http", "path": bare, "raw_path": bare.encode(), "query_string": query.encode(), "root_path": "",
        "headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "state": {},
    }  # fmt: skip
    status, parts, sent = 500, [], False

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if sent:
            await asyncio.get_running_loop().create_future()  # the client stays connected
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        elif message["type"] == "http.response.body":
            parts.append(bytes(message.get("body", b"")))

    try:
        await app(scope, receive, send)
    except Exception as error:  # noqa: BLE001 - what a server would turn into a 500
        return 500, f"{type(error).__name__}: {error}".encode()
    return status, b"".join(parts)

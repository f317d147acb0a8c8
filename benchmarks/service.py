"""What one ordinary request costs the reference service, all safeguards on: ``python -m benchmarks.service``.

In process: a request is an ASGI call with a body of one row; no sockets, no harness. The peer is a bare ASGI app that
reads the body and answers nothing, chunk by chunk in turn. Needs the bundles of ``python -m scenarios.prepare``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import msgspec
import numpy as np

from benchmarks import shipped
from benchmarks.figures import show
from reference_service.app import create_app
from reference_service.clock import SystemClock
from simulator.world.keyed import Draw
from simulator.world.populations import get

REQUESTS = 20_000
ORDINARY = 0.9  # of them, or the figure is not of the ordinary request
CHUNK = 200  # timed together
DATATYPES = {"number": "FP64", "integer": "INT64", "boolean": "BOOL", "category": "BYTES"}


def bodies(count: int) -> list[bytes]:
    """Requests of one row each, as clients of the payments population send them."""
    population = get("payments")
    index = np.arange(count)
    sent = population.rows(Draw(11, "benchmark"), index, index * 1_000_000_000).sent
    columns = {
        field.name: [plain(value, field.kind) for value in sent[field.name].tolist()] for field in population.fields
    }
    found = []
    for k in range(count):
        inputs = [
            {"name": f.name, "shape": [1], "datatype": DATATYPES[f.kind], "data": [columns[f.name][k]]}
            for f in population.fields
        ]
        found.append(msgspec.json.encode({"id": f"benchmark-{k}", "inputs": inputs}))
    return found


def plain(value: Any, kind: str) -> Any:
    """The value as JSON has it."""
    if value is None or value != value:  # noqa: PLR0124 - NaN is what differs from itself
        return None
    return {"number": float, "integer": int, "boolean": bool, "category": str}[kind](value)


async def measure(app: Callable[..., Awaitable[None]], path: str, sent: list[bytes]) -> list[float]:
    """Microseconds per request, one figure a chunk."""
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": []}
    answered = 0

    async def send(message: dict[str, Any]) -> None:
        nonlocal answered
        answered += message.get("status") == HTTPStatus.OK

    spent = []
    for first in range(0, len(sent), CHUNK):
        begin = time.perf_counter()
        for body in sent[first : first + CHUNK]:

            async def receive(body: bytes = body) -> dict[str, Any]:
                return {"type": "http.request", "body": body, "more_body": False}

            await app(scope, receive, send)
        spent.append((time.perf_counter() - begin) / CHUNK * 1e6)
    if answered != len(sent):
        raise RuntimeError(f"{len(sent) - answered} requests were not answered")
    return spent


async def bare(_scope: Any, receive: Any, send: Any) -> None:
    """Reads the body and answers nothing: what the harness of this benchmark costs by itself."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def main() -> None:
    """Measure and print."""
    folder = shipped.bundles("payments")
    settings = {"bundles": str(folder), "feature_store": str(folder / "customers.npz")}
    app = create_app(settings, clock=SystemClock())
    service = await app.startup()
    sent = bodies(REQUESTS)
    ours, peer = [], []
    for first in range(0, len(sent), CHUNK):
        chunk = sent[first : first + CHUNK]
        ours += await measure(app, "/v2/models/payments/infer", chunk)
        peer += await measure(bare, "/", chunk)
    model = service.counters.model
    await app.shutdown()
    if model < ORDINARY * REQUESTS:
        raise SystemExit(f"only {model} of {REQUESTS} were answered by the model without a detour")
    show("service.request", ours, peer, peer_name="bare ASGI app", unit="us")


if __name__ == "__main__":
    asyncio.run(main())

"""What one ordinary request costs the reference service, all safeguards on: ``python benchmarks/service.py``.

In process: a request is an ASGI call with a body of one row; no sockets. Prints microseconds per request and the share
of a bare ASGI app that reads the body and answers nothing. Needs the bundles of ``python -m scenarios.prepare``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from reference_service.app import create_app
from reference_service.clock import SystemClock
from simulator.world.keyed import Draw
from simulator.world.populations import get

ROOT = Path(__file__).parent.parent
REQUESTS = 20_000
CHUNK = 200  # timed together; the quietest tenth of the chunks is what the machine can do when it is left alone
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


async def measure(app: Callable[..., Awaitable[None]], path: str, sent: list[bytes]) -> tuple[float, float]:
    """(quietest tenth, median) of the microseconds per request, by chunks."""
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
    return float(np.quantile(spent, 0.1)), float(np.median(spent))


async def bare(_scope: Any, receive: Any, send: Any) -> None:
    """Reads the body and answers nothing: what the harness of this benchmark costs by itself."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def main() -> None:
    """Measure and print."""
    folder = ROOT / "scenarios" / "bundles" / "payments"
    settings = {"bundles": str(folder), "feature_store": str(folder / "customers.npz")}
    app = create_app(settings, clock=SystemClock())
    service = await app.startup()
    sent = bodies(REQUESTS)
    quiet, median = await measure(app, "/v2/models/payments/infer", sent)
    floor, _ = await measure(bare, "/", sent)
    model = service.counters.model
    await app.shutdown()
    print(f"one request: {quiet:.1f} us quietest tenth, {median:.1f} us median ({1e6 / quiet:,.0f}/s)")
    print(
        f"of which the benchmark itself: {floor:.1f} us; answered by the model without a detour: {model / REQUESTS:.1%}"
    )


if __name__ == "__main__":
    asyncio.run(main())

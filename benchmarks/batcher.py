"""Rows of concurrent requests in one call, or one by one: ``python -m benchmarks.batcher``.

A foreign model in a process of its own, that sleeps for as long as its arithmetic would take: once with a dear call and
cheap rows, once with a cheap call and dear rows. So many callers ask again as soon as they are answered. Both variants
take turns on the same process. The batcher knows nothing at first, and its first turn is not counted. It should win
where the call is dear, and lose nothing where it is cheap: it then sends one row at a time (`rows_a_call`). Last, what
our own forest costs, in front of which there is none. Needs the bundles of ``python -m scenarios.prepare``.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import shipped
from benchmarks.figures import show
from reference_service import bundle as bundles
from reference_service.clock import SECOND, SystemClock
from reference_service.core.batcher import Batcher
from reference_service.core.call_cost import CallCost
from reference_service.foreign.model import Foreign
from reference_service.foreign.process import Process

CALLERS = 32
PAIRS = 10
TURN_S = 0.6
FEATURES = 24
MODELS = {"dear call": (20e-6, 4e-3), "dear row": (10e-3, 20e-6)}  # seconds a row, seconds a call


def sleeper(data: bytes) -> Callable[[np.ndarray], np.ndarray]:
    """The factory: the margin of a row is its first value, after a·n + b seconds."""
    a, b = json.loads(data)

    def predict(values: np.ndarray) -> np.ndarray:
        time.sleep(a * len(values) + b)
        return values[:, 0]

    return predict


async def answered(ask: Batcher) -> float:
    """Rows answered a second. Raises RuntimeError if a caller got somebody else's margin."""
    until, count = time.perf_counter() + TURN_S, 0

    async def caller(k: int) -> None:
        nonlocal count
        row = np.zeros(FEATURES)
        while time.perf_counter() < until:
            row[0] = k * 1e6 + count
            if await ask(row) != row[0]:
                raise RuntimeError("a caller got another one's margin")
            count += 1

    began = time.perf_counter()
    await asyncio.gather(*(caller(k) for k in range(CALLERS)))
    return count / (time.perf_counter() - began)


async def compare(name: str, line: tuple[float, float], folder: Path) -> None:
    """One model, with and without."""
    path, data = folder / "model.json", json.dumps(line).encode()
    path.write_bytes(data)
    start = partial(
        Process, "benchmarks.batcher:sleeper", str(path), hashlib.sha256(data).hexdigest(), start_ns=60 * SECOND
    )
    clock = SystemClock()
    model = Foreign(
        name,
        start(),
        partial(asyncio.to_thread, start),
        clock,
        ask_ns=10 * SECOND,
        pause_ns=SECOND,
        pause_most_ns=SECOND,
    )
    try:
        batchers = [Batcher(model.ask, clock, rows=rows, backlog=CALLERS, cost=CallCost()) for rows in (256, 1)]
        for batcher in batchers:
            await answered(batcher)
        turns = [[await answered(batcher) for batcher in batchers] for _ in range(PAIRS)]
        last, calls = batchers[0], batchers[0].calls
        began = time.perf_counter()
        rows = await answered(last) * (time.perf_counter() - began)
        show(f"batcher, {name}", *zip(*turns, strict=True), peer_name="one by one", unit="rows/s")
        known = {
            "name": f"batcher, {name}: what it knows",
            "us_a_row": round(last.cost.per_row / 1e3),
            "us_a_call": round(last.cost.per_call / 1e3),
            "rows_a_call": round(rows / (last.calls - calls), 1),
        }
        print(json.dumps(known), flush=True)
    finally:
        model.close()


def forest() -> None:
    """The line of our own forest, in process."""
    bundle = bundles.load(shipped.bundles("payments") / "v1")
    golden, cost = np.array(bundle.golden.values, dtype=np.float64), CallCost()
    for _ in range(200):
        for rows in (1, 256):
            began = time.perf_counter_ns()
            bundle.scores(golden[:rows])
            cost.add(rows, time.perf_counter_ns() - began)
    line = {"us_a_row": round(cost.per_row / 1e3, 2), "us_a_call": round(cost.per_call / 1e3, 2)}
    print(json.dumps({"name": "batcher, our own forest", **line, "pays": cost.pays()}), flush=True)


def main() -> None:
    """Print them all."""
    with tempfile.TemporaryDirectory() as folder:
        for name, line in MODELS.items():
            asyncio.run(compare(name, line, Path(folder)))
    forest()


if __name__ == "__main__":
    main()

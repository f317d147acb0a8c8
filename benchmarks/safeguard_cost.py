"""What the safeguards cost of a request's processor time: ``python -m benchmarks.safeguard_cost``.

In process, as `benchmarks.service`: the same ordinary requests go in turn, chunk by chunk, to a service with every
safeguard, to one without each, and to one without any. A difference is taken pair by pair, so that what else the
machine does falls on both. Processor time of this process, not time on the clock. A negative share is noise, or work
that the safeguard saves. What has no switch (the decision log, monitors' counting) counts as the request's own cost.
Needs the bundles of ``python -m scenarios.prepare``.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.service import CHUNK, ROOT, bodies
from reference_service.app import create_app
from reference_service.clock import SystemClock
from reference_service.settings import Safeguards

CHUNKS = 40
WARM = 2  # chunks not counted
SWITCHES = Safeguards.__struct_fields__
PATH = "/v2/models/payments/infer"


def variants() -> dict[str, dict[str, bool]]:
    """Settings of the safeguards by the name of the variant."""
    each = {f"without {name}": {name: False} for name in SWITCHES}
    off = dict.fromkeys(SWITCHES, False)
    return {"all on": {}, **each, "only validation": {**off, "validation": True}, "all off": off}


async def spend(app: Any, sent: list[bytes]) -> float:
    """Microseconds of processor time per request. Raises RuntimeError if one is not answered with 200."""
    scope = {"type": "http", "method": "POST", "path": PATH, "query_string": b"", "headers": []}
    statuses: list[int] = []

    async def send(message: dict[str, Any]) -> None:
        if "status" in message:
            statuses.append(message["status"])

    begin = time.process_time()
    for body in sent:

        async def receive(body: bytes = body) -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        await app(scope, receive, send)
    spent = (time.process_time() - begin) / len(sent) * 1e6
    if statuses != [200] * len(sent):
        raise RuntimeError("not every request was answered with 200")
    return spent


async def main() -> None:
    """Measure and print one line a variant: the median, and the median and quartiles of what it takes off."""
    folder: Path = ROOT / "scenarios" / "bundles" / "payments"
    base = {"bundles": str(folder), "feature_store": str(folder / "customers.npz")}
    apps = {
        name: create_app({**base, "safeguards": switches}, clock=SystemClock()) for name, switches in variants().items()
    }
    for app in apps.values():
        await app.startup()
    sent = bodies((CHUNKS + WARM) * CHUNK)
    figures: dict[str, list[float]] = {name: [] for name in apps}
    names = list(apps)
    order = np.random.default_rng(7)
    for turn in range(CHUNKS + WARM):
        chunk = sent[turn * CHUNK : (turn + 1) * CHUNK]
        for name in order.permutation(names).tolist():  # nobody always follows the same neighbour
            spent = await spend(apps[name], chunk)
            if turn >= WARM:
                figures[name].append(spent)
    for app in apps.values():
        await app.shutdown()
    whole = np.array(figures["all on"])
    print(f"{'variant':<22}{'us/request':>11}{'share of all on':>17}{'quartiles':>20}")
    for name, found in figures.items():
        low, middle, high = np.percentile((whole - np.array(found)) / whole * 100, [25, 50, 75])
        print(f"{name:<22}{np.median(found):>11.1f}{middle:>16.1f}%{low:>11.1f}..{high:.1f}%")
    print(msgspec.json.encode({name: round(float(np.median(v)), 1) for name, v in figures.items()}).decode())


if __name__ == "__main__":
    asyncio.run(main())

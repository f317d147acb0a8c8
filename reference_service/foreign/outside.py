"""A foreign model as the model of a version: started, tried on the golden rows, behind a batcher."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from reference_service.bundle import Bundle, BundleError
from reference_service.clock import Clock
from reference_service.core.batcher import Batcher
from reference_service.core.call_cost import CallCost
from reference_service.foreign.model import Foreign
from reference_service.foreign.process import Process
from reference_service.policy import Policy
from reference_service.settings import Artifact


def model_call(
    bundle: Bundle,
    artifact: Artifact,
    policy: Policy,
    clock: Clock,
    *,
    batching: Literal["auto", "off"],
    running: list[Foreign],
) -> Callable[[str, np.ndarray], Awaitable[float]]:
    """A call like the forest's, (version, float64[f]) → margin, to be awaited. Blocks until the model is loaded.

    Args:
        bundle: whose contract, profile and policy hold; its golden rows are the first that the model is asked about.
        artifact: the model.
        policy: deadlines and pauses.
        clock: they are by it.
        batching: off: each row is asked about for itself, one after the other.
        running: the model is added to it, for whoever must close it.

    Raises:
        BundleError: the artifact is not there, is another, does not load, or has no finite margins for golden rows.
    """
    _verify(artifact)
    start = partial(Process, artifact.factory, artifact.artifact, artifact.sha256, start_ns=policy.foreign_start_ns)
    try:
        process = start()
    except OSError as error:
        raise BundleError("corrupt", f"{artifact.factory} of {artifact.artifact}: {error}") from error
    try:
        cost = _try_out(process, bundle, clock)
    except (OSError, ValueError) as error:
        process.kill()
        raise BundleError("golden", f"{artifact.factory} of {artifact.artifact}: {error}") from error
    model = Foreign(
        bundle.version,
        process,
        partial(asyncio.to_thread, start),
        clock,
        ask_ns=policy.foreign_ns,
        pause_ns=policy.foreign_pause_ns,
        pause_most_ns=policy.foreign_pause_most_ns,
    )
    running.append(model)
    rows = policy.batch_rows if batching == "auto" else 1
    batcher = Batcher(model.ask, clock, rows=rows, backlog=policy.max_in_flight, cost=cost)
    return lambda _version, values: batcher(values)


def tag(bundle: Bundle, artifact: Artifact) -> str:
    """What replies and records name: 12 hex digits of the bundle's digest, the artifact's, and the factory."""
    return hashlib.sha256(f"{bundle.digest} {artifact.sha256} {artifact.factory}".encode()).hexdigest()[:12]


def _verify(artifact: Artifact) -> None:
    """Refuse before anything is started; the process verifies again what it reads, in each of its lives."""
    try:
        found = hashlib.sha256(Path(artifact.artifact).read_bytes()).hexdigest()
    except OSError as error:
        raise BundleError("missing", f"{artifact.artifact}: {error.strerror}") from error
    if found != artifact.sha256:
        raise BundleError("corrupt", f"{artifact.artifact} has digest {found[:12]}…, not {artifact.sha256[:12]}…")


def _try_out(process: Process, bundle: Bundle, clock: Clock) -> CallCost:
    """Ask about the golden rows, all at once and the first alone; what that cost. Raises ValueError, OSError."""
    golden, cost = np.array(bundle.golden.values, dtype=np.float64), CallCost()  # None becomes NaN
    if not all(map(math.isfinite, process.ask_now(golden))):
        raise ValueError("it has no finite margin for some golden row")
    for values in (golden[:1], golden):  # not the first time: a model may still have been loading this and that
        began_ns = clock.now_ns()
        process.ask_now(values)
        cost.add(len(values), clock.now_ns() - began_ns)
    return cost

"""Asks a dependency about one row or several, and waits for all of them at once, in a fixed order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import partial
from typing import Any

import numpy as np

from reference_service.core.cache import Known
from reference_service.guards.dependency import Dependency, Unavailable
from reference_service.release.registry import Loaded


async def gather(
    dependency: Dependency, answers: list[Any], calls: list[tuple[Any, ...]], now_ns: int, until_ns: int
) -> list[Any]:
    """Answers that are there, and those still to come.

    Args:
        dependency: that was asked.
        answers: what its `start` said to each call.
        calls: the arguments of each, should it be asked again.
        now_ns: when it was asked.
        until_ns: of the caller's time.
    """
    pending = [index for index, answer in enumerate(answers) if isinstance(answer, Awaitable)]
    coroutines = [dependency.finish(answers[index], now_ns, until_ns, *calls[index]) for index in pending]
    if len(coroutines) == 1:
        answers[pending[0]] = await coroutines[0]
    elif coroutines:
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(coroutine) for coroutine in coroutines]
        try:
            for index, task in zip(pending, tasks, strict=True):
                answers[index] = await task
        finally:
            for task in tasks:
                task.cancel()
    return answers


def recall(loaded: Loaded, known: Known, now_ns: int, row: np.ndarray) -> tuple[Any, str]:
    """The margin of float64[f], and where it comes from. Only what has passed the model's guards is remembered."""
    key = known.key(row[None])
    recalled = known.get(key)
    if recalled is not None:
        return float(recalled), "cache"
    margin: Any = loaded.model.start(now_ns, loaded.version, row)
    if type(margin) is float:
        known.put(key, margin)
    return margin, "model"


async def margins(loaded: Loaded, used: np.ndarray, now_ns: int, until_ns: int) -> list[Any]:
    """For each row of float64[n, f] its margin or an `Unavailable`, from the cache or else from the model."""
    known = loaded.known if loaded.known is not None and len(used) and loaded.known.worth() else None
    keys = [known.key(used[k : k + 1]) for k in range(len(used))] if known is not None else []
    answers: list[Any] = [known.get(key) for key in keys] if known is not None else [None] * len(used)
    left = [k for k, answer in enumerate(answers) if answer is None]
    rest = used[left]
    calls = [(loaded.version, values) for values in rest]
    together = None if loaded.many is None else partial(loaded.many, rest)
    started = loaded.model.start_all(now_ns, calls, together)
    for k, answer in zip(left, await gather(loaded.model, started, calls, now_ns, until_ns), strict=True):
        answers[k] = answer
        if known is not None and not isinstance(answer, Unavailable):
            known.put(keys[k], float(answer))
    return answers

"""Golden rows, asked again while a version serves: through the same call as every request."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from reference_service.bundle import Bundle
from reference_service.release.registry import Loaded
from reference_service.validation import Validator

_AT_A_TIME: Final = 4


def wrong(loaded: Loaded, turn: int) -> bool:
    """Whether one of the next golden rows has another margin than LightGBM gave it when the bundle was packed.

    No answer is not a wrong answer: failures and slowness are judged by what callers meet.
    """
    return any(answer is not None and answer != margin for answer, margin in _asked(loaded, turn))


def right(loaded: Loaded, turn: int) -> bool:
    """Whether all of the next golden rows are answered, and right."""
    return all(answer == margin for answer, margin in _asked(loaded, turn))


def skewed(bundle: Bundle, validator: Validator) -> int:
    """Golden requests that do not come out as in training, once serving has made its own features of them.

    Golden rows are encoded already, and agree with themselves: a model that was trained on cents, or on categories in
    another order, is right about them and wrong about every customer.
    """
    made = [bundle.score(np.array(validator.encode(request))) for request in bundle.golden.requests]
    return sum(margin != expected for margin, expected in zip(made, bundle.golden.expected, strict=True))


def _asked(loaded: Loaded, turn: int) -> Iterator[tuple[float | None, float]]:
    """What the model says of the next golden rows (None: nothing), and what it should."""
    golden = loaded.bundle.golden
    rows = len(golden.margins)
    for k in range(min(_AT_A_TIME, rows)):
        index = (turn * _AT_A_TIME + k) % rows
        answer = _ask(loaded, golden.values[index])
        known = isinstance(answer, int | float | np.floating)
        yield (float(answer) if known else None), golden.margins[index]


def _ask(loaded: Loaded, row: list[float | None]) -> Any:
    values = np.array(row, dtype=np.float64)  # None becomes NaN
    try:
        answer = loaded.model.call(loaded.version, values)
    except Exception:  # noqa: BLE001  # whatever it raises, it is no answer
        return None
    if inspect.iscoroutine(answer):
        answer.close()
    elif isinstance(answer, asyncio.Future):
        answer.cancel()
    else:
        return answer
    return None

"""verdict.json: the verdict without loss, with the derived answers written out for those who only read."""

from __future__ import annotations

import math
from typing import Any, Final

import msgspec

from simulator.verdict import Verdict

FORMAT: Final = 1


def to_json(verdict: Verdict) -> bytes:
    """UTF-8 JSON, the same bytes for the same verdict.

    Numbers that JSON lacks are spelled ``"inf"``, ``"-inf"``, ``"nan"``.
    """
    cells = []
    for cell in verdict.cells:
        document = _spelled(msgspec.to_builtins(cell))
        for judged, written in zip(cell.judged, document["judged"], strict=True):
            written |= {"status": judged.status.value, "grades": judged.grades, "seen_red": judged.seen_red}
        cells.append({"name": cell.name, "status": cell.status.value} | document)
    whole = {"verdict": FORMAT, "status": verdict.status.value, "exit_code": verdict.exit_code, "cells": cells}
    return msgspec.json.format(msgspec.json.encode(whole), indent=1) + b"\n"


def from_json(data: bytes) -> Verdict:
    """The verdict back: ``from_json(to_json(v)) == v``. Derived answers in the file are ignored, never believed.

    Raises:
        ValueError: not a verdict, or one of a format that this version does not know.
    """
    document = msgspec.json.decode(data)
    if not isinstance(document, dict) or document.get("verdict") != FORMAT:
        raise ValueError(f"not a verdict.json of format {FORMAT}")
    # Not strict, so that a spelled number is read as the float it stands for.
    return msgspec.convert(document, Verdict, strict=False)


def _spelled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _spelled(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_spelled(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value

"""What a service says of itself: its quality and its monitors. What cannot be understood is not an estimate."""

from __future__ import annotations

from typing import Any, Final

import msgspec

READY_WITHIN_S: Final = 1.0  # a readiness endpoint that takes longer does not say that it is ready
SHOWN: Final = 200  # characters of a body that a note repeats


class _Estimate(msgspec.Struct):
    as_of_ns: int
    matured_before_ns: int
    n: int
    brier: float | None = None
    positive_rate: float | None = None


class _Field(msgspec.Struct):
    psi: float | None = None


class _Monitors(msgspec.Struct):
    fields: dict[str, _Field]


def quality(body: bytes, start_ns: int) -> dict[str, Any] | None:
    """The estimate, its moments counted from `start_ns`; None if it is none."""
    try:
        known = msgspec.json.decode(body, type=_Estimate)
    except msgspec.DecodeError:
        return None
    said: dict[str, Any] = {"brier": None, "positive_rate": None} | msgspec.json.decode(body)
    moments = {"as_of_ns": known.as_of_ns - start_ns, "matured_before_ns": known.matured_before_ns - start_ns}
    return said | moments


def psi(body: bytes) -> dict[str, Any] | None:
    """The population stability index by field; None if the reply has none."""
    try:
        said = msgspec.json.decode(body, type=_Monitors)
    except msgspec.DecodeError:
        return None
    return {"psi": {name: round(field.psi, 4) for name, field in said.fields.items() if field.psi is not None}}


def shown(body: bytes) -> str:
    """The beginning of a body, for people."""
    return body.decode("utf-8", "replace")[:SHOWN]

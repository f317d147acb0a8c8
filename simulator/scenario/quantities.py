"""Quantities as people write them: ``30m``, ``10/s``, ``0.1%``. One spelling each, parsed once.

Time is integer nanoseconds everywhere behind this file; shares and rates are floats.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, WithJsonSchema

NS: Final = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
}
SECOND: Final = NS["s"]
MINUTE: Final = NS["m"]
HOUR: Final = NS["h"]
DAY: Final = NS["d"]
LONGEST: Final = 36_525 * NS["d"]  # a century: sums of durations stay within int64 nanoseconds

_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h|d)")
_DURATION = re.compile(rf"(?:{_PART.pattern})+")
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*(s|m|h|d)")
_BYTES: Final = {
    f"{letter}{unit}": base**power
    for power, letter in enumerate("kMG", 1) for unit, base in (("B", 1000), ("iB", 1024))
}  # fmt: skip
_SIZE = re.compile(rf"(\d+(?:\.\d+)?)\s*({'|'.join(_BYTES)})")
_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*%")


def parse_duration(value: Any) -> int:
    """``"1h30m"`` → nanoseconds. Raises ValueError for anything without a unit, or longer than a century."""
    if value == 0 and not isinstance(value, bool):
        return 0
    text = value.replace(" ", "") if isinstance(value, str) else None
    if text is None or not _DURATION.fullmatch(text):
        msg = f"{value!r} is not a duration; write a number and a unit, such as 250ms, 90s, 30m or 1h30m"
        raise ValueError(msg)
    total = 0
    for number, unit in _PART.findall(text):
        whole, _, fraction = number.partition(".")
        scale = NS[unit]
        total += int(whole) * scale + (int(fraction) * scale // 10 ** len(fraction) if fraction else 0)
    if total > LONGEST:
        msg = f"{value!r} is more than a century; nothing here takes that long"
        raise ValueError(msg)
    return total


def parse_size(value: Any) -> int:
    """``"64MB"`` → 64_000_000 bytes; ``"64MiB"`` → 67_108_864. Raises ValueError for anything without a unit."""
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        msg = f"{value!r} is not a size; write a number and a unit, such as 64MB or 1.5GiB"
        raise ValueError(msg)
    return int(float(match[1]) * _BYTES[match[2]])


def parse_share(value: Any) -> float:
    """``"0.1%"`` or ``0.001`` → 0.001. Raises ValueError outside [0, 1]."""
    share: float | None = None
    if isinstance(value, str) and (match := _SHARE.fullmatch(value.strip())):
        # Divide the decimal exactly once so that 0.1% is the float 0.001.
        share = float(f"{match[1]}e-2")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        share = float(value)
    if share is None or not 0.0 <= share <= 1.0:
        msg = f"{value!r} is not a share; write a percentage such as 0.1% or a number from 0 to 1"
        raise ValueError(msg)
    return share


def parse_rate(value: Any) -> float:
    """``"600/m"`` → 10.0 per second."""
    if isinstance(value, str) and (match := _RATE.fullmatch(value.strip())) and float(match[1]) > 0:
        return float(match[1]) * SECOND / NS[match[2]]
    msg = f"{value!r} is not a rate; write a count per unit of time, such as 10/s or 600/m"
    raise ValueError(msg)


def show_duration(ns: int) -> str:
    """The shortest exact spelling: 5_400_000_000_000 → ``1h30m``."""
    if ns == 0:
        return "0s"
    if ns < 0:
        return "-" + show_duration(-ns)
    parts = []
    for unit in ("d", "h", "m", "s", "ms", "us", "ns"):
        count, ns = divmod(ns, NS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def show_size(size: int) -> str:
    """In the largest unit that leaves a number of one or more: 64_000_000 → ``64MB``."""
    unit = next((unit for unit in ("GB", "MB", "kB") if size >= _BYTES[unit]), "kB")
    return f"{size / _BYTES[unit]:.6g}{unit}"


def show_share(share: float) -> str:
    """0.001 → ``0.1%``."""
    return f"{share * 100:.6g}%"


Duration = Annotated[
    int,
    BeforeValidator(parse_duration),
    WithJsonSchema(
        {
            "type": ["string", "integer"],
            "pattern": r"^(\d+(\.\d+)?(ns|us|ms|s|m|h|d))+$",
            "minimum": 0,
            "maximum": 0,  # the only duration without a unit
            "examples": ["30m", "1h30m"],
        }
    ),
]
Share = Annotated[
    float,
    BeforeValidator(parse_share),
    WithJsonSchema(
        {
            "type": ["string", "number"],
            "pattern": r"^\d+(\.\d+)?\s*%$",
            "minimum": 0,
            "maximum": 1,
            "examples": ["0.1%"],
        }
    ),
]
Rate = Annotated[
    float,
    BeforeValidator(parse_rate),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)?\s*/\s*(s|m|h|d)$", "examples": ["10/s"]}),
]
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)?\s*[kMG]i?B$", "examples": ["64MB"]}),
]

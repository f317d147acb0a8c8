"""Prometheus' text format, as far as trials look at it: a counter, the labels of a gauge, how many series."""

from __future__ import annotations

import re
from math import isfinite
from typing import Any, Final

import msgspec

from simulator.targets.model import Metrics

_VALUE: Final = r"[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|Inf|NaN)"
_SAMPLE: Final = re.compile(rf"(?P<name>[a-zA-Z_:][\w:]*)(?:\{{(?P<labels>.*)\}})?\s+(?P<value>{_VALUE})(?:\s+-?\d+)?")
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class _Serving(msgspec.Struct):
    serving: str


def counted(status: int, body: bytes, metrics: Metrics) -> dict[str, Any]:
    """What a scrape says: requests by status, versions that are named, series; or why it says nothing."""
    found: dict[str, Any] = {"requests": {}, "versions": [], "series": 0, "why": ""}
    if status != 200:  # noqa: PLR2004 - a scrape
        return found | {"why": f"{metrics.path} answered {status}"}
    for line in body.decode("utf-8", "replace").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        sample = _SAMPLE.fullmatch(line.strip())
        if sample is None:
            return found | {"why": f"{metrics.path} has a line that is no sample: {line[:80]}"}
        found["series"] += 1
        labels = dict(_LABEL.findall(sample["labels"] or ""))
        if sample["name"] == metrics.requests:
            if not isfinite(float(sample["value"])):
                return found | {"why": f"{metrics.requests} counts {sample['value']}"}
            code = labels.get(metrics.code, "")
            found["requests"][code] = found["requests"].get(code, 0) + int(float(sample["value"]))
        elif sample["name"] == metrics.build and float(sample["value"]):
            found["versions"].append(labels.get(metrics.version, ""))
    if metrics.build is not None and not found["versions"]:
        found["versions"].append("")  # asked, and told nothing: who was not asked says nothing either
    return found


def serving(status: int, body: bytes) -> str:
    """The version that is said to serve; empty if none is."""
    try:
        return msgspec.json.decode(body, type=_Serving).serving if status == 200 else ""  # noqa: PLR2004 - an answer
    except msgspec.DecodeError:
        return ""

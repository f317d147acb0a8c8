"""What the picture of one run shows, as numbers: a history reduced to buckets on one time axis.

A bucket holds the items scheduled in it (S1), whatever became of them later. Nothing here knows about pixels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from simulator.history.episodes import Episode, episodes
from simulator.history.schema import NEVER, EventRecord, Header, History, Outcome, Source
from simulator.scenario.quantities import HOUR, MINUTE, NS, SECOND, show_duration

MAX_BUCKETS: Final = 360
_WIDTHS: Final = (
    *(n * NS["ms"] for n in (1, 2, 5, 10, 20, 50, 100, 200, 500)),
    *(n * SECOND for n in (1, 2, 5, 10, 15, 30)),
    *(n * MINUTE for n in (1, 2, 5, 10, 15, 30)),
    *(n * HOUR for n in (1, 2, 3, 6, 12)),
)
_FAILED: Final = (Outcome.ERROR, Outcome.TIMEOUT, Outcome.RESET, Outcome.UNPARSEABLE, Outcome.MISSING)
_TROUBLES: Final[Mapping[str, tuple[Outcome, ...]]] = {
    "rejected": (Outcome.REJECT,), "shed": (Outcome.SHED,), "failed": _FAILED,
}  # fmt: skip
_SOURCES: Final[Mapping[str, tuple[Source, ...]]] = {
    "model": (Source.MODEL,), "cache": (Source.CACHE,), "default": (Source.DEFAULT,),
    "fallback": (Source.FALLBACK,), "rejected": (Source.REJECTED,), "no answer": (Source.NONE,),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Band:
    """Something with a beginning and an end. `reached` is False for an event that never touched the service."""

    name: str
    start_ns: int
    end_ns: int
    detail: str
    reached: bool = True


@dataclass(frozen=True, slots=True)
class Series:
    """One value per bucket; NaN where nothing was scheduled."""

    name: str
    values: np.ndarray  # float64[buckets]


@dataclass(frozen=True, slots=True)
class Curve:
    """Values at moments of their own, such as what the service's monitors said at each tick."""

    name: str
    at_ns: np.ndarray  # int64[points], ascending
    values: np.ndarray  # float64[points]


@dataclass(frozen=True, slots=True)
class Lanes:
    """One run on one time axis, from 0 to `end_ns` in buckets of `bucket_ns`. What a run has no data for is empty."""

    header: Header
    items: int
    end_ns: int
    bucket_ns: int
    warmup_ns: int
    events: tuple[Band, ...]
    versions: tuple[Series, ...]  # share of the answered items
    alerts: tuple[Episode, ...]
    psi: tuple[Curve, ...]  # by field
    traffic: Series  # requests per second
    troubles: tuple[Series, ...]  # rejected, shed, failed: shares of the items; absent if it never happened
    sources: tuple[Series, ...]  # shares of the items, they add up to 1
    labels: tuple[Series, ...]  # share of the labels due in the run that have arrived: of all items, of touched items


def lanes(history: History) -> Lanes:
    """Reduce one history to what its picture shows."""
    end = max([history.header.end_ns, *(a.at_ns for a in history.alerts), *(e.end_ns for e in history.events), 1])
    width = bucket_width(end)
    items = history.items
    bucket = np.clip(items["scheduled_ns"] // width, 0, -(-end // width) - 1)
    total = np.bincount(bucket, minlength=-(-end // width)).astype(np.float64)
    first_rows = items["row"] == 0
    return Lanes(
        header=history.header,
        items=len(history),
        end_ns=end,
        bucket_ns=width,
        warmup_ns=history.header.warmup_ns,
        events=tuple(_band(event, end) for event in history.events),
        versions=_versions(items["version"], bucket, len(total)),
        alerts=episodes(history.alerts),
        psi=_psi(history),
        traffic=Series("requests", _count(bucket[first_rows], len(total)) * SECOND / width),
        troubles=_shares(_TROUBLES, items["outcome"], bucket, total),
        sources=_shares(_SOURCES, items["source"], bucket, total),
        labels=_labels(items, width, len(total)),
    )


def bucket_width(end_ns: int) -> int:
    """The smallest round width that needs at most `MAX_BUCKETS` buckets."""
    for width in _WIDTHS:
        if width * MAX_BUCKETS >= end_ns:
            return width
    day = 24 * HOUR
    return day * -(-end_ns // (day * MAX_BUCKETS))


def _band(event: EventRecord, end: int) -> Band:
    reached = event.start_ns != NEVER
    start = event.start_ns if reached else event.scheduled_ns
    stop = event.end_ns if event.end_ns != NEVER else end
    said = [f"{event.name}: from {show_duration(_rounded(start))} to {show_duration(_rounded(stop))}"]
    said.append(f"planned {event.planned:,}, delivered {event.delivered:,}, potent {event.potent:,}")
    said += [] if event.supported else ["the harness cannot reach what this event wants to break"]
    said += [] if reached else ["it never reached the service"]
    said += [event.detail] if event.detail else []
    return Band(event.name, start, max(stop, start), "; ".join(said), reached)


def _rounded(ns: int) -> int:
    # A person reads seconds; a run of a few seconds keeps its milliseconds.
    unit = SECOND if ns >= MINUTE else NS["ms"]
    return ns // unit * unit


def _count(bucket: np.ndarray, buckets: int) -> np.ndarray:
    return np.bincount(bucket, minlength=buckets).astype(np.float64)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    share = np.full(len(whole), np.nan)
    np.divide(part, whole, out=share, where=whole > 0)
    return share


def _shares(
    groups: Mapping[str, tuple[int, ...]], codes: np.ndarray, bucket: np.ndarray, total: np.ndarray
) -> tuple[Series, ...]:
    found = []
    for name, members in groups.items():
        chosen = np.isin(codes, [int(member) for member in members])
        if chosen.any():
            found.append(Series(name, _share(_count(bucket[chosen], len(total)), total)))
    return tuple(found)


def _versions(versions: np.ndarray, bucket: np.ndarray, buckets: int) -> tuple[Series, ...]:
    answered = versions != ""
    total = _count(bucket[answered], buckets)
    names = sorted(set(versions[answered].tolist()))
    return tuple(Series(name, _share(_count(bucket[versions == name], buckets), total)) for name in names)


def _psi(history: History) -> tuple[Curve, ...]:
    points: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for note in sorted((n for n in history.notes if n.kind == "monitor"), key=lambda n: n.at_ns):
        for field, value in (note.data.get("psi") or {}).items():
            if value is not None and np.isfinite(value):
                points[field].append((note.at_ns, float(value)))
    return tuple(
        Curve(field, np.array([p[0] for p in said], np.int64), np.array([p[1] for p in said]))
        for field, said in sorted(points.items())
    )


def _labels(items: Mapping[str, np.ndarray], width: int, buckets: int) -> tuple[Series, ...]:
    due = items["label_due_ns"] != NEVER
    touched = due & (items["touched"] != 0)
    edges = np.arange(1, buckets + 1) * width
    found = []
    for name, chosen in (("all items", due), ("touched items", touched)):
        arrived = np.sort(items["label_ns"][chosen & (items["label_ns"] != NEVER)])
        if len(arrived):
            found.append(Series(name, np.searchsorted(arrived, edges, side="left") / chosen.sum()))
    return tuple(found)

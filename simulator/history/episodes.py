"""Alert notifications → episodes: one fingerprint from firing to resolved, over all routes (S6)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from simulator.history.schema import AlertRecord

MERGE_NS: Final = 300_000_000_000  # a gap of under five minutes does not end an episode
FOREVER: Final = 2**63 - 1
HEARTBEATS: Final = frozenset({"watchdog", "heartbeat"})


class Selector(Protocol):
    """What an alert must be; None: whatever it is."""

    @property
    def name(self) -> str | None:
        """Of the rule."""

    @property
    def field(self) -> str | None:
        """That it is about."""

    @property
    def severity(self) -> str | None:
        """As the sender says."""

    @property
    def route(self) -> str | None:
        """Over which it came."""


@dataclass(frozen=True, slots=True)
class Episode:
    """One alert, from its first firing notification to its resolution; `end_ns` is FOREVER while it fires."""

    fingerprint: str
    name: str
    field: str
    severity: str
    onset_ns: int
    end_ns: int

    def overlaps(self, start_ns: int, end_ns: int) -> bool:
        """It was firing at some moment of ``[start, end)``."""
        return self.onset_ns < end_ns and self.end_ns > start_ns

    def __str__(self) -> str:
        what = f"{self.name}({self.field})" if self.field else self.name
        return f"{what} {self.severity}".rstrip()


def selects(selector: Selector | None, record: AlertRecord) -> bool:
    """The record is of the kind that the selector asks for; heartbeats never are."""
    if record.name.lower() in HEARTBEATS:
        return False
    return selector is None or all(
        wanted is None or wanted == found
        for wanted, found in (
            (selector.name, record.name),
            (selector.field, record.field),
            (selector.severity, record.severity),
            (selector.route, record.route),
        )
    )


def episodes(records: Iterable[AlertRecord], selector: Selector | None = None) -> tuple[Episode, ...]:
    """Episodes of the selected alerts, or of all, by onset.

    A firing notification while the episode lasts is a repeat; one less than 5 min after its resolution
    continues it. Resolutions belong to a fingerprint whatever else they carry; of a selector that names a route, only
    what came over it is heard. At the same nanosecond a
    resolution counts first, so that an alert said to fire and not to fire is firing.
    """
    route = selector.route if selector is not None else None
    records = tuple(record for record in records if route in (None, record.route))
    chosen = {r.fingerprint for r in records if r.firing and selects(selector, r)}
    histories: dict[str, list[AlertRecord]] = {}
    for record in sorted(records, key=lambda r: (r.at_ns, r.firing, r.name, r.field, r.severity, r.route)):
        if record.fingerprint in chosen and (not record.firing or selects(selector, record)):
            histories.setdefault(record.fingerprint, []).append(record)
    found = [episode for history in histories.values() for episode in _of_one(history)]
    return tuple(sorted(found, key=lambda e: (e.onset_ns, e.fingerprint)))


def _of_one(history: list[AlertRecord]) -> list[Episode]:
    found: list[Episode] = []
    for record in history:
        last = found[-1] if found else None
        if not record.firing:
            if last is not None and last.end_ns == FOREVER:
                found[-1] = _until(last, record.at_ns)
        elif last is None or record.at_ns - last.end_ns >= MERGE_NS:
            found.append(Episode(record.fingerprint, record.name, record.field, record.severity, record.at_ns, FOREVER))
        else:
            found[-1] = _until(last, FOREVER)
    return found


def _until(episode: Episode, end_ns: int) -> Episode:
    return Episode(episode.fingerprint, episode.name, episode.field, episode.severity, episode.onset_ns, end_ns)

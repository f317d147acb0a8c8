"""The alert book: conditions come and go each tick, episodes are what people are told.

One episode per fingerprint from firing to resolved. A condition that stands is told once; it is told again only
after it has been resolved.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

Severity = Literal["page", "ticket", "none"]


class Condition(NamedTuple):
    """What a monitor says at one tick about one thing."""

    name: str
    field: str
    severity: Severity
    firing: bool
    summary: str = ""
    owner: str = ""
    routes: tuple[str, ...] = ()  # none: all
    runbook: str = ""


class Notification(NamedTuple):
    """What a route sends: an episode began or ended."""

    name: str
    field: str
    severity: Severity
    fingerprint: str
    firing: bool
    summary: str
    starts_ns: int
    ends_ns: int  # 0 while firing
    owner: str = ""
    routes: tuple[str, ...] = ()  # none: all
    runbook: str = ""


def fingerprint(service: str, name: str, field: str) -> str:
    """16 hex digits that name an alert for good: the same in every format, process and release."""
    return hashlib.blake2b(f"{service}\x1f{name}\x1f{field}".encode(), digest_size=8).hexdigest()


class AlertBook:
    """The open episodes.

    Args:
        service: label that keeps two services' alerts apart.
        hold_ns: an episode lasts at least this long.
    """

    __slots__ = ("_hold_ns", "_service", "episodes")

    def __init__(self, service: str, hold_ns: int) -> None:
        self._service = service
        self._hold_ns = hold_ns
        self.episodes: dict[tuple[str, str], Notification] = {}

    def update(self, now_ns: int, conditions: Iterable[Condition]) -> list[Notification]:
        """Open and close episodes; returns what has to be told, in order.

        An episode whose condition is no longer reported at all (its field went with a release) ends as well.
        """
        told: list[Notification] = []
        standing = {(condition.name, condition.field): condition for condition in conditions}
        for key, condition in standing.items():
            if condition.firing and key not in self.episodes:
                name, field, severity, _, summary, owner, routes, runbook = condition
                mark = fingerprint(self._service, name, field)
                opened = Notification(
                    name, field, severity, mark, firing=True, summary=summary, starts_ns=now_ns, ends_ns=0,
                    owner=owner, routes=routes, runbook=runbook,
                )  # fmt: skip
                self.episodes[key] = opened
                told.append(opened)
        for key, episode in list(self.episodes.items()):
            again = standing.get(key)
            if (again is None or not again.firing) and now_ns - episode.starts_ns >= self._hold_ns:
                del self.episodes[key]
                told.append(episode._replace(firing=False, ends_ns=now_ns))
        return told

    def keep(self) -> list[list[Any]]:
        """The open episodes, for a restart."""
        return [list(episode) for episode in self.episodes.values()]

    def recall(self, kept: list[list[Any]]) -> None:
        """The reverse of `keep`."""
        episodes = [Notification(*each) for each in kept]
        self.episodes = {(each.name, each.field): each for each in episodes}

    def fields(self, names: frozenset[str]) -> frozenset[str]:
        """Fields on which an alert of one of these names stands."""
        return frozenset(field for name, field in self.episodes if name in names)

"""One registry, several processes: each writes its transitions down, and takes up those of the others within a second.

A process that wants to change something takes up first what the others did, under the registry's lock. What a judge
finds at the same moment as somebody else acts is dropped: the evidence stays, and speaks again at the next bad event.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

from reference_service.bundle import BundleError
from reference_service.clock import SECOND, Clock
from reference_service.release import kept
from reference_service.release.pool import Pool
from reference_service.release.registry import Registry
from reference_service.release.rollback import Releases
from reference_service.release.store import Store

EVERY_NS: Final = SECOND // 4  # with the time to load a version that is known already, well under a second


class Follower:
    """Keeps one process' `Releases` and the registry's state equal.

    Args:
        store: the registry's files.
        registry: loads versions.
        releases: this process' own; its `keep` is this follower's from now on.
    """

    def __init__(self, store: Store, registry: Registry, releases: Releases) -> None:
        self._store = store
        self._registry = registry
        self._releases = releases
        self._generation = 0
        self._stamp = (0, 0)
        self._pool = Pool(store.splits)
        self.take_up()
        releases.keep = self.keep
        releases.beside = self._pool.others
        if not self._generation:
            self.keep(releases)

    def take_up(self) -> bool:
        """Adopt what the registry says, if it is news. Returns whether it was.

        What cannot be read or loaded is left, and told in the log: this process goes on with what it has.
        """
        stamp = self._store.stamp()
        if stamp == self._stamp:
            return False
        data = self._store.read_state()
        if data is None:
            return False
        try:
            found = kept.decode(data)
            if found.generation > self._generation:
                kept.adopt(self._releases, found, self._registry.get)
        except (BundleError, ValueError):
            logging.getLogger("reference_service").exception("the registry's state cannot be taken up")
            return False
        self._stamp = stamp
        news = found.generation > self._generation
        self._generation = max(self._generation, found.generation)
        return news

    def keep(self, releases: Releases) -> bool:
        """Write down a transition that has just happened here. False: another process was first, and its one stands."""
        with self._store.alone():
            if self.take_up():
                return False
            self._generation += 1
            self._store.write_state(kept.encode(releases, self._generation))
            self._stamp = self._store.stamp()
            self._point(releases)
        return True

    def save(self, matured_before_ns: int) -> None:
        """Write down what the judge has seen since, unless there is something to take up first; and what labels say.

        Args:
            matured_before_ns: labels of decisions made before that moment are in.
        """
        if self._releases.trial is not None and not self.take_up():
            with self._store.alone():
                if self._store.stamp() == self._stamp:
                    self._store.write_state(kept.encode(self._releases, self._generation), durable=False)
                    self._stamp = self._store.stamp()
        if self._releases.trial is not None:
            self._pool.write(self._releases.trial, matured_before_ns)

    async def follow(self, clock: Clock, changed: Callable[[], None] = lambda: None) -> None:
        """For ever: take up what others did. `changed` is called whenever there was something."""
        while True:
            await clock.sleep(EVERY_NS)
            for version in self._unknown():
                # Verifying and compiling takes its time; requests are answered meanwhile.
                with contextlib.suppress(BundleError, ValueError):  # told when it is taken up
                    await asyncio.to_thread(self._registry.get, version)
            if self.take_up():
                changed()

    def _unknown(self) -> list[str]:
        """Versions of the state that this process has not loaded yet."""
        data = self._store.read_state() if self._store.stamp() != self._stamp else None
        if data is None:
            return []
        try:
            found = kept.decode(data)
        except ValueError:
            return []
        return [version for version in kept.versions(found) if not self._registry.knows(version)]

    def _point(self, releases: Releases) -> None:
        trial = releases.trial
        store = self._store
        store.point("champion", releases.champion.version)
        store.point("certified", releases.certified.version)
        hidden = trial is not None and trial.shadow is not None
        store.point("challenger", trial.loaded.version if trial is not None and not hidden else None)
        store.point("shadow", trial.loaded.version if trial is not None and hidden else None)

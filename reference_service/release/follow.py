"""One registry, several processes: each writes its transitions down, and takes up those of the others within a second.

A process that wants to change something takes up first what the others did, under the registry's lock. What a judge
finds at the same moment as somebody else acts is dropped: the evidence stays, and speaks again at the next tick.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

import msgspec

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
        self._owed = False  # whether something that was done here is not written down yet
        self._trouble = ""  # that was told last
        self._pool = Pool(store.trials)
        self.take_up()
        if not self._generation and store.read_state() is not None:
            self._salvage()
        releases.keep = self.keep
        releases.beside = self._pool.labels
        if not self._generation:
            self.keep(releases)

    def take_up(self) -> bool:
        """Adopt what the registry says, if it is news. Returns whether it was.

        What cannot be read or loaded is left, and told in the log: this process goes on with what it has.
        """
        try:
            stamp = self._store.stamp()
            data = None if stamp == self._stamp else self._store.read_state()
            if data is None:
                return False
            found = kept.decode(data)
            if found.generation > self._generation:
                kept.adopt(self._releases, found, self._registry.get)
                if self._releases.trial is not None:
                    self._pool.hear(self._releases.trial)
        except (BundleError, ValueError, OSError) as error:
            self._troubled("the registry's state cannot be taken up", error)
            return False
        self._trouble = ""
        if found.generation < self._generation:
            return False  # written by who did not know better: `_remind`
        self._stamp = stamp
        news = found.generation > self._generation
        self._generation = found.generation
        self._owed &= not news  # who was first stands
        return news

    def keep(self, releases: Releases) -> str:
        """Write down a transition that has just happened here; "" or what the operator has to know.

        Another process was first: its transition stands, and this one is undone. The registry cannot be written: this
        one stands, for a rollback must not wait for a disk, and is written down at a later tick.
        """
        try:
            with self._store.alone():
                if self.take_up():
                    return "somebody else has just changed the releases; look, and ask again"
                self._store.write_state(kept.encode(releases, self._generation + 1))
                self._generation += 1
                self._stamp = self._store.stamp()
                self._point(releases)
        except OSError as error:
            self._owed = True
            self._troubled("what became of the releases cannot be written down", error)
            return (
                f"done in this process, but the registry cannot be written ({error.strerror or error}): other "
                "processes and a restart know nothing of it until it can; every tick tries again"
            )
        self._owed = False
        return ""

    def save(self) -> None:
        """Write down what is known of a trial and hear what others know, unless there is something to take up."""
        if self._owed and self.keep(self._releases):
            return
        if self._releases.trial is None or self.take_up():
            return
        try:
            self._pool.share(self._releases.trial)
        except OSError as error:  # no reason to keep alerts from being sent
            self._troubled("evidence cannot be written down", error)

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
            else:
                self._remind()

    def _remind(self) -> None:
        """Write the state again where it is lost, damaged, or of somebody who began anew beside a damaged one."""
        try:
            if self._store.stamp() == self._stamp or not self._outdated():
                return
            with self._store.alone():
                if self._outdated():
                    self._store.write_state(kept.encode(self._releases, self._generation))
                    self._stamp = self._store.stamp()
                    self._point(self._releases)
        except OSError as error:
            self._troubled("the registry cannot be put right", error)

    def _outdated(self) -> bool:
        data = self._store.read_state()
        try:
            return data is None or kept.decode(data).generation < self._generation
        except msgspec.ValidationError:
            return False  # of another release of this service, which understands it
        except ValueError:
            return True

    def _salvage(self) -> None:
        """Of a state that cannot be used: who served and who was certified, by their names. It is kept aside."""
        self._store.set_state_aside()
        for name in ("champion", "certified"):
            try:
                version = self._store.alias(name)
                if version is not None:
                    setattr(self._releases, name, self._registry.get(version))
            except (BundleError, ValueError) as error:
                self._troubled(f"the {name} of before cannot be loaded", error)

    def _troubled(self, what: str, error: Exception) -> None:
        """Tell it once, and not four times a second."""
        told = f"{what}: {type(error).__name__}: {error}"
        if told != self._trouble:
            self._trouble = told
            logging.getLogger("reference_service").error("%s", told)

    def _unknown(self) -> list[str]:
        """Versions of the state that this process has not loaded yet."""
        try:
            data = self._store.read_state() if self._store.stamp() != self._stamp else None
            found = None if data is None else kept.decode(data)
        except (ValueError, OSError):
            return []
        return [] if found is None else [v for v in kept.versions(found) if not self._registry.knows(v)]

    def _point(self, releases: Releases) -> None:
        trial = releases.trial
        store = self._store
        store.point("champion", releases.champion.version)
        store.point("certified", releases.certified.version)
        hidden = trial is not None and trial.shadow is not None
        store.point("challenger", trial.loaded.version if trial is not None and not hidden else None)
        store.point("shadow", trial.loaded.version if trial is not None and hidden else None)

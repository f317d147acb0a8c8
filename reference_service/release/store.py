"""A registry of files: bundles by the digest of their content, names that point at them, and the state of releases.

    bundles/<digest>/     immutable; the name is the SHA-256 of the manifest, which names every other file's
    versions/<version>    the digest of that version; a version is given once
    aliases/<alias>       champion, certified, challenger or shadow: a version
    state.json            everything that `Releases` has to know after a restart
    trials/               what each process knows of the release that is on trial (`pool`)

Whatever changes is written beside its place and renamed into it, so that a reader, in this process or another, sees
the old or the new one and nothing between. There is no server.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from reference_service import bundle as bundles
from reference_service.bundle import BundleError

ALIASES: Final = ("champion", "certified", "challenger", "shadow")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_STATE: Final = "state.json"


class Store:
    """The registry's folder; made if it is not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.trials = folder / "trials"
        for name in ("bundles", "versions", "aliases"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    # ------------------------------------------------------------ bundles

    def add(self, source: Path) -> str:
        """Verify a bundle, golden rows included, and take a copy of it. Returns its digest; twice is once.

        A copy that was damaged since is replaced.

        Raises:
            BundleError: It must not be served, or its version was given to another bundle.
        """
        bundle = bundles.load(source)
        known = self.digest(bundle.version)
        if known not in {None, bundle.digest}:
            raise BundleError("corrupt", f"version {bundle.version} is bundle {known and known[:12]} already")
        place = self.folder / "bundles" / bundle.digest
        if not _sound(place, bundle.digest):
            damaged = place.is_dir()
            fresh = place.with_name(f".{bundle.digest}.{os.getpid()}")
            shutil.rmtree(fresh, ignore_errors=True)
            shutil.copytree(source, fresh)
            bundles.load(fresh, digest=bundle.digest)  # what was copied, not what was read before
            if damaged:
                shutil.rmtree(place, ignore_errors=True)
            try:
                fresh.rename(place)
            except OSError:  # another process was faster; what it put there has the same digest
                shutil.rmtree(fresh)
        write(self.folder / "versions" / bundle.version, bundle.digest.encode())
        return bundle.digest

    def digest(self, version: str) -> str | None:
        """The bundle that this version is, or None."""
        return _text(self.folder / "versions" / version) if _NAME.fullmatch(version) else None

    def place(self, version: str) -> Path | None:
        """The folder of that version's bundle, or None."""
        digest = self.digest(version)
        return None if digest is None else self.folder / "bundles" / digest

    def versions(self) -> dict[str, str]:
        """Version → digest."""
        found = sorted(path.name for path in (self.folder / "versions").iterdir() if _NAME.fullmatch(path.name))
        return {name: digest for name in found if (digest := self.digest(name)) is not None}

    # ------------------------------------------------------------ aliases

    def point(self, alias: str, version: str | None) -> None:
        """From now on that alias is this version; None: it is none."""
        place = self.folder / "aliases" / alias
        if version is None:
            place.unlink(missing_ok=True)
        elif _text(place) != version:
            write(place, version.encode())

    def alias(self, alias: str) -> str | None:
        """The version of an alias, or None."""
        return _text(self.folder / "aliases" / alias)

    # ------------------------------------------------------------ state

    def write_state(self, state: bytes) -> None:
        """Replace the state."""
        write(self.folder / _STATE, state)

    def set_state_aside(self) -> None:
        """Keep a state that cannot be used for whoever looks into it."""
        (self.folder / _STATE).replace(self.folder / f"{_STATE}.damaged")

    def read_state(self) -> bytes | None:
        """The state, or None."""
        try:
            return (self.folder / _STATE).read_bytes()
        except FileNotFoundError:
            return None

    def stamp(self) -> tuple[int, int]:
        """Changes whenever the state does: cheap to ask."""
        try:
            found = (self.folder / _STATE).stat()
        except FileNotFoundError:
            return (0, 0)
        return (found.st_ino, found.st_mtime_ns)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """No other process changes the registry meanwhile. Held for microseconds; never across an await."""
        with (self.folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def write(place: Path, data: bytes, *, durable: bool = True) -> None:
    """Replace a file in one step; what is not durable may be lost with the machine, though not with the process."""
    fresh = place.with_name(f".{place.name}.{os.getpid()}.{hashlib.sha256(data).hexdigest()[:8]}")
    with fresh.open("wb") as file:
        file.write(data)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    fresh.replace(place)


def _sound(place: Path, digest: str) -> bool:
    try:
        bundles.load(place, digest=digest)
    except BundleError:
        return False
    return True


def _text(place: Path) -> str | None:
    try:
        return place.read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None

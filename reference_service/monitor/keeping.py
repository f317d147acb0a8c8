"""What monitors know survives a restart: each class names what is kept of it (`KEPT`), as plain JSON.

An episode that stood before a restart is neither told again nor forgotten, and evidence that was collected counts on.
"""

from __future__ import annotations

import logging
from array import array
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol

import msgspec
import numpy as np

_log: Final = logging.getLogger("reference_service")


class Kept(Protocol):
    """Something with a state worth keeping."""

    KEPT: ClassVar[tuple[str, ...]]


def keep(thing: Kept) -> dict[str, Any]:
    """The state of `thing`, for JSON."""
    return {name: _plain(getattr(thing, name)) for name in thing.KEPT}


def recall(thing: Kept, kept: dict[str, Any]) -> None:
    """Give `thing` that state again, each part in the type that it has now; or raise, and nothing was taken."""
    found = {name: _typed(name, getattr(thing, name), kept[name]) for name in thing.KEPT}
    for name, then in found.items():
        setattr(thing, name, then)


def _typed(name: str, now: Any, then: Any) -> Any:
    if isinstance(now, deque):
        return deque(then, maxlen=now.maxlen)
    if isinstance(now, array):
        return array(now.typecode, then)
    if isinstance(now, np.ndarray):
        found = np.array(then, dtype=now.dtype)
        if found.shape != now.shape:
            raise ValueError(f"{name} was of another shape")
        return found
    return then


def recalled(part: Callable[[Any], None], kept: Any) -> bool:
    """Whether a part could go on from what was kept of it, which may be of an earlier release, or damaged."""
    try:
        part(kept)
    except (AttributeError, KeyError, TypeError, ValueError):
        return False
    return True


def keep_all(things: Iterable[Kept]) -> list[dict[str, Any]]:
    """The states of several, in order."""
    return [keep(thing) for thing in things]


def recall_all(things: Iterable[Kept], kept: list[dict[str, Any]]) -> None:
    """The reverse of `keep_all`, for the same things in the same order. ValueError if their number differs."""
    for thing, state in zip(things, kept, strict=True):
        recall(thing, state)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    return list(value) if isinstance(value, array | deque) else value


class Keeper:
    """A file that holds the latest state, replaced as a whole: a crash leaves the one before or the one after.

    Args:
        path: of the file; its folder must exist.
    """

    __slots__ = ("_path", "failures")

    def __init__(self, path: Path) -> None:
        self._path = path
        self.failures = 0

    def save(self, state: dict[str, Any]) -> None:
        """Replace the file. A disk that is full costs the memory of a restart, and nothing else."""
        fresh = self._path.with_name(f".{self._path.name}.fresh")
        try:
            fresh.write_bytes(msgspec.json.encode(state))
            fresh.replace(self._path)
        except OSError:
            self.failures += 1

    def load(self) -> dict[str, Any] | None:
        """The latest state, or None if there is none that can be read."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, Any])
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            _log.warning("monitors start afresh: %s: %s", self._path, type(error).__name__)
            return None

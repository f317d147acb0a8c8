"""The state machine as plain data, and back: what a restart must not forget, and what workers tell each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from reference_service.release.registry import Loaded
from reference_service.release.rollback import Releases
from reference_service.release.trial import By, Release, State


class ReleaseKept(msgspec.Struct, frozen=True):
    """One release; the fields of `Release`."""

    id: int
    version: str
    by: By
    share: float
    started_ns: int
    state: State
    reason: str
    promoted_ns: int
    ended_ns: int
    evidence_log10: float


class TrialKept(msgspec.Struct, frozen=True):
    """What the release that is running needs beside its own fields, and what is known of it (`pool`)."""

    previous: str
    share: float | None  # of the split now; None: nothing is split


class Kept(msgspec.Struct, frozen=True):
    """Everything that `Releases` knows."""

    generation: int
    champion: str
    certified: str
    history: list[ReleaseKept]
    frozen: dict[str, int]
    taken_back: dict[str, int]
    trail: list[dict[str, Any]]
    automatic_rollbacks: int
    distrusted: bool
    trial: TrialKept | None


_decode = msgspec.json.Decoder(Kept)


def encode(releases: Releases, generation: int) -> bytes:
    """As it is now."""
    trial = releases.trial
    running = None
    if trial is not None:
        share = None if releases.split is None else releases.split.share
        running = TrialKept(trial.previous.version, share)
    return msgspec.json.encode(
        Kept(
            generation,
            releases.champion.version,
            releases.certified.version,
            [ReleaseKept(**release.view()) for release in releases.history],
            releases.frozen,
            releases.taken_back,
            releases.trail,
            releases.automatic_rollbacks,
            releases.distrusted,
            running,
        )
    )


def decode(data: bytes) -> Kept:
    """Raises ValueError if it is not what `encode` wrote: msgspec.ValidationError, if it is JSON of another shape."""
    found = _decode.decode(data)
    if found.trial is not None and not found.history:
        raise ValueError("a trial of no release")
    return found


def versions(kept: Kept) -> list[str]:
    """Those that have to be loaded to adopt it."""
    running = [] if kept.trial is None else [kept.history[-1].version, kept.trial.previous]
    return list(dict.fromkeys([kept.champion, kept.certified, *running]))


def adopt(releases: Releases, kept: Kept, load: Callable[[str], Loaded]) -> None:
    """Make it so. A trial that is already running here keeps what its judge has seen.

    Raises:
        BundleError: A version that serves is not there any more; nothing was changed then.
    """
    champion, certified = load(kept.champion), load(kept.certified)
    loaded = previous = None
    if kept.trial is not None:
        loaded, previous = load(kept.history[-1].version), load(kept.trial.previous)
    releases.champion, releases.certified = champion, certified
    releases.frozen, releases.taken_back = dict(kept.frozen), dict(kept.taken_back)
    releases.trail, releases.automatic_rollbacks = list(kept.trail), kept.automatic_rollbacks
    releases.distrusted = kept.distrusted
    releases.history = [Release(**msgspec.structs.asdict(release)) for release in kept.history]
    if loaded is None or previous is None or kept.trial is None:
        releases.leave()
        return
    releases.resume(releases.history[-1], loaded, previous, share=kept.trial.share)

"""Releases as a state machine: what serves, what is on trial, and the way back.

An automatic rollback happens once per release, returns to the last *certified* version (never merely the previous
one), and freezes the version it took back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from reference_service.policy import Policy
from reference_service.release.judge import CanaryJudge, SwapJudge
from reference_service.release.registry import Loaded
from reference_service.release.routing import Split

By = Literal["canary", "swap"]


class ReleaseRefused(Exception):  # noqa: N818  # an answer, not a fault
    """A release that is not started; `reason` may be shown to the operator."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True, eq=False)
class Release:
    """One release and what became of it."""

    id: int
    loaded: Loaded
    by: By
    share: float
    started_ns: int
    judge: CanaryJudge | SwapJudge
    previous: Loaded
    state: Literal["on_trial", "rolled_back", "superseded", "settled"] = "on_trial"
    reason: str = ""
    ended_ns: int = 0

    def view(self) -> dict[str, Any]:
        """For operators."""
        return {
            "id": self.id,
            "version": self.loaded.version,
            "by": self.by,
            "share": self.share,
            "state": self.state,
            "reason": self.reason,
            "started_ns": self.started_ns,
            "ended_ns": self.ended_ns,
            "evidence_log10": round(self.judge.evidence_log10, 3),
        }


@dataclass(slots=True, eq=False)
class Releases:
    """Which version answers whom.

    Args:
        champion: serves everybody who is not in a canary.
        policy: freezing and watching times.
        enabled: False: the judge counts and never acts.
    """

    champion: Loaded
    policy: Policy
    enabled: bool = True
    certified: Loaded = field(init=False)
    current: Release | None = None
    split: Split | None = None  # of the canary on trial, if there is one
    history: list[Release] = field(default_factory=list)
    frozen: dict[str, int] = field(default_factory=dict)  # version → until
    taken_back: dict[str, int] = field(default_factory=dict)  # version → when, for the alert

    def __post_init__(self) -> None:
        self.certified = self.champion

    def route(self, entity: Any) -> Loaded:
        """The version that answers this entity."""
        if self.split is not None and self.current is not None and self.split.takes(entity):
            return self.current.loaded
        return self.champion

    def served(self) -> dict[str, Loaded]:
        """Who answers those who insist on a version: the champion, what is on trial, and the last certified one."""
        trial = self.current.loaded if self.current is not None else self.champion
        return {each.version: each for each in (self.champion, trial, self.certified)}

    def start(self, loaded: Loaded, by: By, share: float, now_ns: int) -> Release:
        """Put a version on trial: as a canary for a share of entities, or as a swap for everybody."""
        until = self.frozen.get(loaded.version, 0)
        if now_ns < until:
            raise ReleaseRefused(f"{loaded.version} was rolled back and is frozen")
        if self.current is not None:
            self._end("superseded", "a newer release", now_ns)
        number = len(self.history) + 1
        judge = CanaryJudge(self.policy, share) if by == "canary" else SwapJudge(self.policy)
        release = Release(number, loaded, by, share if by == "canary" else 1.0, now_ns, judge, self.champion)
        self.history.append(release)
        self.current = release
        if by == "canary":
            self.split = Split(f"{loaded.bundle.digest}/{number}", share)
        else:
            self.champion = loaded
        return release

    def observe(self, loaded: Loaded, now_ns: int, *, failed: bool, slow: bool, breach: bool, blocked: bool) -> None:
        """One answered request while a release is on trial."""
        release = self.current
        if release is None or (release.by == "canary" and loaded not in (release.loaded, self.champion)):
            return  # a straggler of an earlier release
        new = loaded is release.loaded
        reason = release.judge.request(new=new, failed=failed, slow=slow, breach=breach, blocked=blocked)
        if reason and self.enabled:
            self._take_back(release, reason, now_ns)

    def label(self, version: str, now_ns: int, *, wrong: bool) -> None:
        """One labelled decision while a release is on trial."""
        release = self.current
        if release is None or version not in (release.loaded.version, self.champion.version):
            return
        reason = release.judge.label(new=version == release.loaded.version, wrong=wrong)
        if reason and self.enabled:
            self._take_back(release, reason, now_ns)

    def operator_rollback(self, now_ns: int) -> Release:
        """An operator takes the release on trial back. Nothing is frozen and nobody is paged."""
        release = self.current
        if release is None:
            raise ReleaseRefused("nothing is on trial")
        self._back(release, "operator", now_ns)
        return release

    def tick(self, now_ns: int) -> None:
        """A swap that has been watched long enough is certified."""
        release = self.current
        if release is not None and release.by == "swap" and now_ns - release.started_ns >= self.policy.hold_back_ns:
            self.certified = release.loaded
            self._end("settled", "watched without a finding", now_ns)

    def _take_back(self, release: Release, reason: str, now_ns: int) -> None:
        self.frozen[release.loaded.version] = now_ns + self.policy.frozen_ns
        self.taken_back[release.loaded.version] = now_ns
        self._back(release, reason, now_ns)

    def _back(self, release: Release, reason: str, now_ns: int) -> None:
        if release.by == "swap":
            self.champion = self.certified
        self._end("rolled_back", reason, now_ns)

    def _end(self, state: Literal["rolled_back", "superseded", "settled"], reason: str, now_ns: int) -> None:
        if self.current is not None:
            self.current.state = state
            self.current.reason = reason
            self.current.ended_ns = now_ns
        self.current = None
        self.split = None

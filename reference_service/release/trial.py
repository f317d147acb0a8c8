"""A release and its trial, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from reference_service.release.gain import Gain
from reference_service.release.judge import CanaryJudge, SwapJudge
from reference_service.release.registry import Loaded
from reference_service.release.scores import ScoreShift
from reference_service.release.shadow import Shadow

By = Literal["canary", "ab", "swap", "shadow"]
State = Literal["on_trial", "held_back", "rolled_back", "superseded", "settled"]


class ReleaseRefused(Exception):  # noqa: N818  # an answer, not a fault
    """A release, or an action on one, that is refused; `reason` may be shown to the operator."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True, eq=False)
class Release:
    """One release and what became of it."""

    id: int
    version: str
    by: By
    share: float
    started_ns: int
    state: State = "on_trial"
    reason: str = ""
    promoted_ns: int = 0
    ended_ns: int = 0
    evidence_log10: float = 0.0  # when it ended

    def view(self) -> dict[str, Any]:
        """For operators, and to be kept."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True, eq=False)
class Trial:
    """The release that is running: the versions in memory, and who judges them."""

    release: Release
    loaded: Loaded
    previous: Loaded
    judge: CanaryJudge | SwapJudge | None  # None: nobody meets a shadow, so there is nothing to judge
    shadow: Shadow | None = None
    scores: ScoreShift | None = None
    gain: Gain | None = None  # of a split: which arm is nearer to the truth

"""Releases as a state machine: what serves, what is on trial, and the way back.

An automatic rollback happens once per release, returns to the last *certified* version (never merely the previous
one), and freezes the version that it took back. Every transition, and who caused it, is in the trail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from reference_service.policy import Policy
from reference_service.release import golden
from reference_service.release.gain import Evidence, Gain, Labelled
from reference_service.release.judge import BOTH, Answer, CanaryJudge, SwapJudge
from reference_service.release.registry import Loaded
from reference_service.release.routing import Split
from reference_service.release.scores import ScoreShift
from reference_service.release.shadow import Shadow
from reference_service.release.trial import By, Release, ReleaseRefused, State, Trial

_SPLIT: Final = frozenset({"canary", "ab"})
_CALM: Final = 3  # ticks in a row with right golden rows before a distrusted model is asked again
_TRAIL: Final = 1000  # transitions that are remembered


@dataclass(slots=True, eq=False)
class Releases:
    """Which version answers whom.

    Args:
        champion: serves everybody who is not in a canary.
        policy: thresholds of judging, promoting, freezing and watching.
        enabled: False: the judge counts and never acts.
    """

    champion: Loaded
    policy: Policy
    enabled: bool = True
    certified: Loaded = field(init=False)
    trial: Trial | None = None
    split: Split | None = None  # of the canary or the A/B test that is running
    history: list[Release] = field(default_factory=list)
    frozen: dict[str, int] = field(default_factory=dict)  # version → until
    taken_back: dict[str, int] = field(default_factory=dict)  # version → when, for the alert
    trail: list[dict[str, Any]] = field(default_factory=list)
    automatic_rollbacks: int = 0
    distrusted: bool = False  # no version is fit to serve: the fallback answers everybody
    keep: Callable[[Releases], str] | None = None  # called after every transition; why it is not known everywhere
    beside: Callable[[Trial], Sequence[Evidence]] = lambda _: ()  # what other processes know of a split, by labels
    _turn: int = 0
    _calm: int = 0

    def __post_init__(self) -> None:
        self.certified = self.champion

    # ------------------------------------------------------------ on the path of requests

    def route(self, entity: Any) -> Loaded:
        """The version that answers this entity."""
        split, trial = self.split, self.trial
        if split is None or trial is None:
            return self.champion
        return trial.loaded if split.takes(entity) else trial.previous

    def served(self) -> dict[str, Loaded]:
        """Who answers those who insist on a version: the champion, what callers meet on trial, the last certified."""
        trial = self.trial.loaded if self.trial is not None and self.trial.shadow is None else self.champion
        return {each.version: each for each in (self.champion, trial, self.certified)}

    def crowd(self, loaded: Loaded, entity: Any, *, refused: bool) -> int:
        """Of whom the answer is, where this version was drawn for this entity in a split; 0: it says nothing of one."""
        split, trial = self.split, self.trial
        if split is None or trial is None or trial.gain is None or trial.release.promoted_ns:
            return 0
        new = split.takes(entity)
        if loaded is not (trial.loaded if new else trial.previous):
            return 0
        if refused:
            trial.gain.refused(new=new)
        return split.crowd(entity)

    def observe(self, loaded: Loaded, now_ns: int, answer: Answer, score: float | None = None) -> None:
        """One answered request while a release is on trial; `score`, if the model gave one."""
        trial = self.trial
        if trial is None or trial.judge is None or loaded not in (trial.loaded, trial.previous):
            return  # a straggler of an earlier release
        new = loaded is trial.loaded
        if score is not None and trial.scores is not None:
            trial.scores.add(score, new=new)
        reason = trial.judge.request(answer, new=new)
        if not reason and new and answer.failed and loaded.model.breaker.state != "closed":
            reason = "readiness"
        if reason and self.enabled:
            self._take_back(trial, reason, now_ns)

    def label(self, version: str, decided_ns: int, now_ns: int, *, wrong: bool) -> None:
        """One labelled decision while a release is on trial. Who decided before the trial had nobody beside it."""
        trial = self.trial
        if trial is None or trial.judge is None or version not in (trial.loaded.version, trial.previous.version):
            return
        release = trial.release
        if decided_ns < release.started_ns:
            return
        reshared = 0 < release.promoted_ns <= decided_ns
        reason = trial.judge.label(new=version == trial.loaded.version, wrong=wrong, reshared=reshared)
        if reason and self.enabled:
            self._take_back(trial, reason, now_ns)

    def learn(self, version: str, labelled: Labelled) -> None:
        """What a label says of one arm of a split that is running; of customers whom nobody drew, nothing."""
        trial = self.trial
        if trial is None or trial.gain is None or not labelled.crowd or labelled.at_ns < trial.release.started_ns:
            return
        # A process that had not taken this release up yet may have decided by an arm of the one before.
        if version in (trial.loaded.version, trial.previous.version):
            trial.gain.add(labelled, new=version == trial.loaded.version)

    def matured(self, before_ns: int, given_up: Iterable[int]) -> None:
        """Which labels are in, and which cohorts will never have all of theirs (`Gain.mature`)."""
        if self.trial is not None and self.trial.gain is not None:
            self.trial.gain.mature(before_ns, given_up)

    # ------------------------------------------------------------ operators

    def start(self, loaded: Loaded, by: By, share: float, now_ns: int, *, override: bool = False) -> Release:
        """Put a version on trial. `override`: although it is frozen, which ends by that. Raises ReleaseRefused."""
        if not override:
            self._thawed(loaded.version, now_ns)
        if by in _SPLIT | {"shadow"} and loaded is self.champion:
            raise ReleaseRefused(f"{loaded.version} serves already")
        self.frozen.pop(loaded.version, None)
        if self.trial is not None:
            self._end("superseded", "a newer release", now_ns)
        share = share if by in _SPLIT else 0.0 if by == "shadow" else 1.0
        release = Release(len(self.history) + 1, loaded.version, by, share, now_ns)
        self.history.append(release)
        self.resume(release, loaded, self.champion, share=share if by in _SPLIT else None)
        if by == "swap":
            self.champion = loaded
        self._told(now_ns, "operator", "override" if override else "release", release, by)
        return release

    def resume(self, release: Release, loaded: Loaded, previous: Loaded, *, share: float | None) -> None:
        """This release is running, with a split of `share` if it has one. Who judges it already goes on judging."""
        running = self.trial
        # Two processes may have given one number to two releases; only the first of these stands.
        if running is not None and running.loaded is loaded and _same(running.release, release):
            running.release = release
        else:
            self.leave()
            running = Trial(release, loaded, previous, None)
            if release.by == "shadow":
                running.shadow = Shadow(loaded, self.policy)
            elif release.by == "swap":
                running.judge = SwapJudge(self.policy)
            else:
                running.judge = CanaryJudge(self.policy, release.share)
                running.scores = ScoreShift(previous.bundle.profile.score_deciles)
                running.gain = Gain(release.started_ns, self.policy.cohort_ns)
        if share is not None and (self.split is None or self.split.share != share):
            self.split = Split(f"{loaded.bundle.digest}/{release.id}", share)
            if isinstance(running.judge, CanaryJudge) and share != release.share:
                running.judge.reshare(share)
        self.trial = running

    def promote(self, now_ns: int, who: str = "operator") -> Release:
        """The canary serves everybody but a held-back share, which goes on being compared. Raises ReleaseRefused."""
        trial = self.trial
        if trial is None or trial.release.by not in _SPLIT or trial.release.state != "on_trial" or self.split is None:
            raise ReleaseRefused("no canary is on trial")
        release = trial.release
        self._thawed(release.version, now_ns)
        release.state, release.promoted_ns = "held_back", now_ns
        self.champion = trial.loaded
        # The same hash with a larger share: nobody who has met the new version is sent back to the old one.
        self.split = self.split.widened(1 - self.policy.hold_back_share)
        if isinstance(trial.judge, CanaryJudge):
            trial.judge.reshare(1 - self.policy.hold_back_share)
        self._told(now_ns, who, "promote", release, release.reason)
        return release

    def operator_rollback(self, now_ns: int, to: Loaded | None = None) -> Release:
        """An operator takes the release back, or puts `to` in its place, certified by that. Nothing is frozen.

        Raises:
            ReleaseRefused: Nothing is on trial, and no version is named.
        """
        trial = self.trial
        if to is not None:
            if trial is not None:
                self._end("rolled_back", "operator", now_ns)
            release = Release(len(self.history) + 1, to.version, "swap", 1.0, now_ns, "settled", "operator", 0, now_ns)
            self.history.append(release)
            self.champion = self.certified = to
        elif trial is None:
            raise ReleaseRefused("nothing is on trial")
        else:
            release = trial.release
            if self.champion is trial.loaded:
                self.champion = self.certified
            self._end("rolled_back", "operator", now_ns)
        self.distrusted = False
        self._told(now_ns, "operator", "rollback", release, f"{self.champion.version} serves")
        return release

    def _thawed(self, version: str, now_ns: int) -> None:
        if now_ns < self.frozen.get(version, 0):
            raise ReleaseRefused(f"{version} is frozen")

    def freeze(self, version: str, until_ns: int, now_ns: int) -> None:
        """Until then that version is neither released nor promoted; an earlier moment than now lifts it."""
        if until_ns > now_ns:
            self.frozen[version] = until_ns
        else:
            self.frozen.pop(version, None)
        self.note(now_ns, "operator", "freeze" if until_ns > now_ns else "unfreeze", version, "")

    # ------------------------------------------------------------ every tick

    def tick(self, now_ns: int) -> None:
        """Golden rows, readiness, what others saw, promotion, certification: what no request brings about."""
        self._turn += 1
        if self.distrusted:
            self._trust_again(now_ns)
        trial = self.trial
        if trial is None or trial.judge is None:
            return
        # What others have seen may have been the last that was missing.
        reason = trial.judge.verdict or self._unfit(trial.loaded)
        if reason:
            if self.enabled:
                self._take_back(trial, reason, now_ns)
            return  # whatever is not taken back is neither promoted nor certified
        release, policy = trial.release, self.policy
        whole_ns = release.started_ns if release.by == "swap" else release.promoted_ns  # since when it serves everybody
        if whole_ns and now_ns - whole_ns >= policy.hold_back_ns:
            self._certify(trial, now_ns)
        elif release.by == "canary" and release.state == "on_trial" and self._proved(trial, now_ns):
            release.reason = "watched without a finding"
            self.promote(now_ns, "judge")

    def _unfit(self, loaded: Loaded) -> str:
        """A hard trigger that fires without any request, or ""."""
        if loaded.model.breaker.state == "open":
            return "readiness"
        return "golden" if golden.wrong(loaded, self._turn) else ""

    def _proved(self, trial: Trial, now_ns: int) -> bool:
        """Long enough on trial, met by enough requests, and no suspicion."""
        policy, judge = self.policy, trial.judge
        return (
            isinstance(judge, CanaryJudge)
            and now_ns >= self.frozen.get(trial.release.version, 0)
            and now_ns - trial.release.started_ns >= policy.promote_after_ns
            and judge.met >= policy.promote_answers
            and judge.evidence_log10 < policy.promote_evidence
        )

    def _certify(self, trial: Trial, now_ns: int) -> None:
        self.certified = trial.loaded
        self._end("settled", "watched without a finding", now_ns)
        self._told(now_ns, "judge", "certify", trial.release, "")

    def _trust_again(self, now_ns: int) -> None:
        """Golden rows that come out right some ticks in a row: the model may be asked again."""
        # Other golden rows at each tick; a model that does not answer at all is not calm either.
        calm = golden.right(self.champion, self._turn)
        self._calm = self._calm + 1 if calm else 0
        if self._calm >= _CALM:
            self._calm, self.distrusted = 0, False
            self.note(now_ns, "judge", "trust", self.champion.version, "its golden rows are right again")

    # ------------------------------------------------------------ the way back

    def _take_back(self, trial: Trial, reason: str, now_ns: int) -> None:
        """Automatic rollback: the certified version serves everybody, whatever served before."""
        version = trial.loaded.version
        both = reason == BOTH or self._unfit(self.certified) != ""
        if both:
            # Nobody is to blame, so nothing is frozen; and nothing is left that could answer but the fallback.
            reason, self.distrusted, self._calm = BOTH, True, 0
        else:
            self.frozen[version] = now_ns + self.policy.frozen_ns
            self.taken_back[version] = now_ns
        self.automatic_rollbacks += 1
        self.champion = self.certified
        self._end("rolled_back", reason, now_ns)
        self._told(now_ns, "judge", "rollback", trial.release, f"{self.certified.version} serves")

    def _end(self, state: State, reason: str, now_ns: int) -> None:
        trial = self.trial
        if trial is not None:
            release = trial.release
            release.state, release.reason, release.ended_ns = state, reason, now_ns
            if trial.judge is not None:
                release.evidence_log10 = round(trial.judge.evidence_log10, 3)
        self.leave()

    def leave(self) -> None:
        """Nothing is running."""
        if self.trial is not None and self.trial.shadow is not None:
            self.trial.shadow.stop()
        self.trial = None
        self.split = None

    # ------------------------------------------------------------ what is told and kept

    def shifted(self, at_least: int) -> dict[str, float]:
        """Version on trial → how far its scores lie from the champion's (PSI), with so many scores of both."""
        trial = self.trial
        return {} if trial is None or trial.scores is None else {trial.loaded.version: trial.scores.psi(at_least)}

    def view(self, release: Release) -> dict[str, Any]:
        """One release, with what its judge, its shadow and labels say so far."""
        trial = self.trial
        if trial is None or trial.release is not release:
            return release.view()
        live: dict[str, Any] = {}
        if trial.judge is not None:
            live["evidence_log10"] = round(trial.judge.evidence_log10, 3)
        if trial.shadow is not None:
            live["shadow"] = trial.shadow.view()
        if trial.gain is not None:
            live["quality"] = trial.gain.view(self.beside(trial))
        return release.view() | live

    def _told(self, now_ns: int, who: str, what: str, release: Release, why: str) -> None:
        self.note(now_ns, who, what, release.version, why or release.reason)

    def note(self, now_ns: int, who: str, what: str, version: str, why: str) -> None:
        """One more line of the trail; then everything is kept.

        Raises:
            ReleaseRefused: An operator's action that came an instant after somebody else's, or is known here only.
        """
        self.trail.append({"at_ns": now_ns, "who": who, "what": what, "version": version, "why": why})
        del self.trail[:-_TRAIL]
        missed = "" if self.keep is None else self.keep(self)
        if missed and who == "operator":
            raise ReleaseRefused(missed)


def _same(one: Release, other: Release) -> bool:
    return (one.id, one.by, one.started_ns) == (other.id, other.by, other.started_ns)

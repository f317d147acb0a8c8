"""Everything that is looked at once per tick, and what follows from it: who is told, and what is distrusted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from reference_service.bundle import Bundle
from reference_service.guards.dependency import Dependency
from reference_service.monitor.alerts import AlertBook, Condition, Notification
from reference_service.monitor.burn import BurnRates
from reference_service.monitor.cohorts import Cohorts
from reference_service.monitor.counters import Counters
from reference_service.monitor.eprocess import LossDetector
from reference_service.monitor.group_errors import GroupErrors
from reference_service.monitor.groups import GroupMonitor
from reference_service.monitor.inputs import InputMonitors
from reference_service.monitor.keeping import keep, recall, recalled
from reference_service.monitor.labels import NOTHING_DECIDED
from reference_service.monitor.quarantine import Action, actions
from reference_service.monitor.review import ReviewShare
from reference_service.monitor.routes import Routes
from reference_service.monitor.rules import Rules
from reference_service.monitor.traffic import TrafficMonitors
from reference_service.policy import Policy
from reference_service.settings import Safeguards

NO_RULES = Rules()
NOTHING: Final[Mapping[int, tuple[str, Action]]] = {}
_UNLOGGED: Final = Condition(
    "decision_log_failing", "", "page", firing=True, summary="decisions cannot be written down"
)
_CONCEPT: Final = Condition("concept_drift", "", "page", firing=True, summary="matured labels disagree with the scores")
_UNLABELLED: Final = Condition("labels_missing", "", "ticket", firing=True, summary="no labels: quality is not judged")
_BOTH_BAD: Final = Condition(
    "both_arms_bad", "", "page", firing=True, summary="no version is fit to serve: the fallback answers"
)
_DISTRUST = frozenset({"feature_drift"})  # names whose alerts alone put their field into quarantine


class Watch:
    """The monitors of a service.

    Args:
        bundle: the serving version, whose profile is the reference.
        policy: thresholds.
        safeguards: `alerts` off: everything is counted and nobody is told.
        counters: of the pipeline.
        cohorts: of labelled decisions.
        book: open episodes.
        routes: where alerts go.
        started_ns: ticks and windows are counted from here.
        rules: severities, owners, routes, objectives.
    """

    def __init__(
        self,
        bundle: Bundle,
        policy: Policy,
        *,
        safeguards: Safeguards,
        counters: Counters,
        cohorts: Cohorts,
        book: AlertBook,
        routes: Routes,
        started_ns: int,
        rules: Rules = NO_RULES,
    ) -> None:
        self._policy = policy
        self._safeguards = safeguards
        self._cohorts = cohorts
        self._routes = routes
        self._heartbeat_ns = started_ns
        self.book = book
        self.traffic = TrafficMonitors(counters, policy)
        self.burn = BurnRates(rules.objectives, started_ns)
        self._counters = counters
        self._rules = rules
        self.review = ReviewShare(policy)
        self.quarantined: Mapping[int, tuple[str, Action]] = {}
        self._looked: tuple[object, ...] = ()  # what is looked at at once when it changes, as it was at the last look
        self._arrived = 0  # requests, by then
        self.start(bundle, started_ns)

    def start(self, bundle: Bundle, now_ns: int) -> None:
        """Judge by this bundle's profile from now on (another version serves)."""
        self.bundle = bundle
        self.review.start()
        self.inputs = InputMonitors(bundle, self._policy, now_ns)
        self.groups = GroupMonitor(bundle, self._policy, now_ns)
        self.errors = GroupErrors(self.groups, self._policy, bundle.profile.group_errors)
        self._cohorts.start()
        self._looked_ns = now_ns - self._policy.look_ns
        tolerated = bundle.profile.brier * self._policy.loss_factor
        self._concept = LossDetector(
            min(0.9, tolerated + self._policy.loss_excess),
            min(0.9, tolerated + self._policy.loss_excess / 2),
            # A block gives one look where single losses give one at every tick: as many false alarms a month.
            alpha=min(0.01, self._policy.alpha * max(1, self._policy.loss_block_ns // self._policy.tick_ns)),
            calm_rows=self._policy.loss_rows,
        )

    def idle(self, now_ns: int, others: tuple[object, ...]) -> bool:
        """Whether the next look can wait: since the last there were a few ordinary answers, and nothing else.

        A handful of rows decides nothing by itself, and looking at it costs as much as answering it. What is out of
        the ordinary is looked at at the next tick: an answer that is not the model's own, a window that ends, what
        pages while it stands, and whatever of `others` has changed. Labels wait as well: they are hours late.
        """
        counters = self._counters
        seen = (counters.arrived - counters.model, *others)
        if (
            now_ns < min(self._looked_ns + self._policy.look_ns, self.inputs.closes_ns)
            and counters.arrived - self._arrived < self._policy.look_rows
            and seen == self._looked
            and not self.inputs.stirred
            and not any(each.severity == "page" for each in self.book.episodes.values())
        ):
            return True
        self._looked, self._looked_ns, self._arrived = seen, now_ns, counters.arrived
        return False

    def beat(self, now_ns: int) -> None:
        """The heartbeat alone, where it is due."""
        told = self._beaten(now_ns)
        if told:
            self._routes.tell(told)

    def tick(
        self,
        now_ns: int,
        dependencies: Sequence[tuple[str, Dependency]],
        taken_back: Mapping[str, int],
        *,
        unlogged: bool = False,
        distrusted: bool = False,
        shifted: Mapping[str, float] | None = None,
        more: Sequence[Condition] = (),
        decided: Mapping[int, tuple[int, int]] = NOTHING_DECIDED,
    ) -> None:
        """Look at everything once, and tell who is to be told.

        Args:
            now_ns: the tick's moment.
            dependencies: (name as alerts call it, what is called).
            taken_back: version → when it was rolled back by the judge.
            unlogged: whether decisions wait for a log that cannot be written.
            distrusted: whether no version is fit to serve, so that the fallback answers everybody.
            shifted: version on trial → how far its scores lie from the champion's (PSI).
            more: what was found elsewhere.
            decided: start of a cohort → decisions of models in it since the last tick, and refusals among them.
        """
        concept = self._concept.look(self._cohorts.matured_losses(now_ns))
        self.inputs.tick(now_ns)
        for start, (n, refused) in decided.items():
            self._cohorts.decided(start, n, refused)
        standing = [
            *self.inputs.firing,
            *self.groups.tick(now_ns, self.inputs.counted),
            *self.errors.tick(now_ns),
            *self.traffic.tick(dependencies),
            *self.burn.tick(now_ns, self._counters),
            *more,
        ]
        # Hardly anything fires at most ticks, and what does not is nobody's affair.
        firing = [each for each in standing if each.firing]
        missing = self._cohorts.missing
        if unlogged or concept or missing or distrusted:
            others = ((unlogged, _UNLOGGED), (concept, _CONCEPT), (missing, _UNLABELLED), (distrusted, _BOTH_BAD))
            firing += [condition for stands, condition in others if stands]
        if shifted or taken_back:
            firing += self._of_releases(now_ns, shifted or {}, taken_back)
        told = []
        if self._safeguards.alerts:
            if firing or self.book.episodes:
                told = self.book.update(now_ns, self._rules.apply(firing))
            self._distrust()
        told += self._beaten(now_ns)
        if told:
            self._routes.tell(told)

    def keep(self) -> dict[str, Any]:
        """What is to survive a restart: evidence, episodes, cohorts, and what receivers have not got yet."""
        return {
            "bundle": self.bundle.digest,
            "inputs": self.inputs.keep(),
            "groups": self.groups.keep(),
            "errors": self.errors.keep(),
            "traffic": self.traffic.keep(),
            "burn": self.burn.keep(),
            "concept": keep(self._concept),
            "book": self.book.keep(),
            "cohorts": self._cohorts.keep(),
            "routes": self._routes.keep(),
        }

    def recall(self, kept: Mapping[str, Any]) -> list[str]:
        """Go on from what was kept; the names of what was of another shape, each of which starts afresh by itself.

        Were one to take the others with it, an alert that no receiver has got yet would be lost, and one that stands
        would stand there for good, or be told again.
        """
        parts: dict[str, Callable[[Any], None]] = {
            "book": self.book.recall,
            "routes": self._routes.recall,
            "cohorts": self._cohorts.recall,
            "inputs": self.inputs.recall,
            "groups": self.groups.recall,
            "errors": self.errors.recall,
            "traffic": self.traffic.recall,
            "burn": self.burn.recall,
        }
        same = kept.get("bundle", self.bundle.digest) == self.bundle.digest
        if same:
            parts["concept"] = partial(recall, self._concept)
        lost = [name for name, part in parts.items() if not recalled(part, kept.get(name))]
        if not same:
            self._cohorts.start()
        self._distrust()
        return lost

    def _beaten(self, now_ns: int) -> list[Notification]:
        if now_ns < self._heartbeat_ns:
            return []
        self._heartbeat_ns += self._policy.heartbeat_ns
        self._routes.repeat(self.book.episodes.values())
        return [self._routes.heartbeat(now_ns)]

    def _of_releases(self, now_ns: int, shifted: Mapping[str, float], taken_back: Mapping[str, int]) -> list[Condition]:
        policy = self._policy
        return [
            Condition("canary_scores", version, "ticket", firing=True,
                      summary=f"scores of {version} lie {psi:.2f} from the champion's (PSI)")
            for version, psi in shifted.items() if psi >= policy.canary_score_psi
        ] + [
            Condition("canary_rollback", version, "page", firing=True, summary=f"{version} was taken back")
            for version, at_ns in taken_back.items() if now_ns - at_ns < policy.rollback_alert_ns
        ]  # fmt: skip

    def _distrust(self) -> None:
        if self._safeguards.quarantine:
            distrusted = self.inputs.mostly_absent(self._policy.quarantine_share)
            if self.book.episodes:
                distrusted |= self.book.fields(_DISTRUST)
            self.quarantined = actions(self.bundle.contract.fields, distrusted) if distrusted else NOTHING

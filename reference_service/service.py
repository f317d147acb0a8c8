"""The parts of a running service, by name. Composed in `composition.py`; each may be replaced before the first call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from reference_service.audit.decision_log import DecisionLog
from reference_service.clock import Clock
from reference_service.core.cache import Cache
from reference_service.foreign.model import Foreign
from reference_service.guards.dependency import Dependency, Unavailable
from reference_service.guards.idempotency import Idempotency
from reference_service.guards.limiter import Limiter
from reference_service.monitor.cohorts import Cohorts
from reference_service.monitor.cost import Cost
from reference_service.monitor.counters import Counters
from reference_service.monitor.keeping import Keeper
from reference_service.monitor.labels import Ledger
from reference_service.monitor.review import ReviewQueue
from reference_service.monitor.routes import Routes
from reference_service.monitor.stream import Stream
from reference_service.monitor.watch import Watch
from reference_service.pipeline import Pipeline
from reference_service.policy import Policy
from reference_service.release.follow import Follower
from reference_service.release.registry import Registry
from reference_service.release.rollback import Releases
from reference_service.settings import Settings
from reference_service.shared.connect import Connections


@dataclass(slots=True, eq=False)
class Service:
    """Everything that the API and the ticks act on."""

    clock: Clock
    settings: Settings
    policy: Policy
    registry: Registry
    releases: Releases
    counters: Counters
    limiter: Limiter
    idempotency: Idempotency | None  # None: switched off
    ledger: Ledger
    cohorts: Cohorts
    watch: Watch
    routes: Routes
    log: DecisionLog
    pipeline: Pipeline
    tick: Callable[[Service, int], None]
    cache: Cache
    reviews: ReviewQueue
    cost: Cost
    connections: Connections
    foreign: list[Foreign]  # models with a process of their own, of whatever version
    keeper: Keeper | None = None
    follower: Follower | None = None  # where a registry is shared or must survive
    stream: Stream | None = None  # where requests come as messages

    def dependencies(self) -> list[tuple[str, Dependency]]:
        """(name as alerts call it, what is called). The model is the champion's: a canary is its judge's affair."""
        found = [("model", self.releases.champion.model)]
        if self.pipeline.store is not None:
            found.insert(0, (self.pipeline.store.name, self.pipeline.store))
        return found

    def take_up(self) -> None:
        """Know what other processes did to the releases, before anything is done to them here."""
        if self.follower is not None:
            self.follower.take_up()

    async def ready(self) -> bool:
        """Whether the model answers, and the stream is there, where requests come from one.

        A service whose scoring hangs is alive, and not ready.

        It is asked, about the typical row, whatever its traffic has shown: a quiet service has shown nothing, and who
        is not ready gets no traffic by which it could show that it is ready again.
        """
        if self.stream is not None and not self.stream.connected:
            return False
        loaded, now_ns = self.releases.champion, self.clock.now_ns()
        call = (loaded.version, loaded.bundle.profile.typical)
        answer = loaded.model.start(now_ns, *call)
        if isinstance(answer, Awaitable):
            answer = await loaded.model.finish(answer, now_ns, now_ns + self.policy.ready_ns, *call)
        return not isinstance(answer, Unavailable) and loaded.model.breaker.state == "closed"


def tick(service: Service, now_ns: int) -> None:
    """What happens every `tick_ns`."""
    releases, watch = service.releases, service.watch
    releases.tick(now_ns)
    if watch.bundle is not releases.champion.bundle:
        watch.start(releases.champion.bundle, now_ns)
    if service.log.durable or service.keeper is not None:
        service.log.flush()  # a log that is in memory alone is closed when it is full, or when somebody asks
    others = service.log.failing, releases.distrusted, len(releases.taken_back), releases.trial is None
    # While a release is on trial every tick counts; and what is kept for a restart is to be whole.
    if releases.trial is None and service.keeper is None and watch.idle(now_ns, others):
        watch.beat(now_ns)
    else:
        _look(service, now_ns)
    if service.follower is not None:
        service.follower.save()
    if service.keeper is not None:
        service.keeper.save({**watch.keep(), "reviews": service.reviews.keep()})
    service.routes.flush()


def _look(service: Service, now_ns: int) -> None:
    """Judge what came since the last look."""
    releases, watch = service.releases, service.watch
    watch.tick(
        now_ns,
        service.dependencies(),
        releases.taken_back,
        unlogged=service.log.failing,
        distrusted=releases.distrusted,
        shifted=releases.shifted(service.policy.drift_rows),
        more=service.cost.tick(service.counters.answers),
        # What is kept is to be whole; otherwise minutes are soon enough for what matures in days.
        decided=service.ledger.decided(service.policy.cohort_ns, now_ns if service.keeper is None else None),
    )
    champion = releases.champion
    watch.review.look(now_ns, champion.version, champion.bands, watch.inputs.taken)
    service.reviews.tick()
    releases.matured(*service.cohorts.judged())

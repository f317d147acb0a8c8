"""The parts of a service, wired: the one place that knows them all."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from reference_service import assembly
from reference_service import features as stores
from reference_service.assembly import Seams
from reference_service.audit.decision_log import DecisionLog, Sink
from reference_service.audit.files import FileSink, Tail
from reference_service.clock import Clock
from reference_service.contract import Contract
from reference_service.core.cache import Cache
from reference_service.features import FeatureRow, Features
from reference_service.foreign.model import Foreign
from reference_service.guards import idempotency
from reference_service.guards.dependency import Dependency
from reference_service.guards.fair_share import FairShare
from reference_service.guards.kept_answers import KeptAnswers
from reference_service.guards.limiter import Limiter
from reference_service.guards.retry_budget import RetryBudget
from reference_service.monitor import rules
from reference_service.monitor.alerts import AlertBook
from reference_service.monitor.anomaly import Anomaly
from reference_service.monitor.cohorts import Cohorts
from reference_service.monitor.cost import Cost
from reference_service.monitor.counters import Counters
from reference_service.monitor.keeping import Keeper, recalled
from reference_service.monitor.labels import Ledger
from reference_service.monitor.post import Post, nowhere
from reference_service.monitor.review import ReviewQueue
from reference_service.monitor.routes import Routes
from reference_service.monitor.rules import Rules
from reference_service.monitor.watch import Watch
from reference_service.pipeline import Pipeline
from reference_service.policy import Policy
from reference_service.release.follow import Follower
from reference_service.release.registry import Registry
from reference_service.release.rollback import Releases
from reference_service.release.store import Store
from reference_service.service import Service, tick
from reference_service.settings import REDIS, Settings
from reference_service.shared.connect import Connections


def compose(
    settings: Settings,
    clock: Clock,
    seams: Seams,
    post: Post | None = None,
    answers: idempotency.Store | None = None,
) -> Service:
    """The parts of a service, wired. Nothing is started and nothing is sent yet.

    Args:
        settings: checked.
        clock: injected into every part.
        seams: wrappers of dependency calls.
        post: sends alerts; over HTTP unless given.
        answers: where answers under idempotency keys are kept, in place of what the settings say.
    """
    guards = settings.safeguards
    connections = Connections()
    store = _features(settings, connections)
    files = Store(Path(settings.registry)) if settings.registry is not None else None
    cache = Cache(settings.cache_bytes, always=settings.cache == "on")
    foreign: list[Foreign] = []
    columns = store.columns if store is not None else ()
    assemble = assembly.assembler(settings, clock, seams, columns=columns, cache=cache, foreign=foreign)
    registry = Registry(Path(settings.bundles), assemble, files)
    champion = registry.get(settings.serving)
    policy = champion.policy
    started_ns = clock.now_ns()
    # Every process judges what it answers itself: by its own part of alpha, so that all of them keep the promise.
    shared = msgspec.structs.replace(policy, canary_alpha=policy.canary_alpha / settings.workers)
    releases = Releases(champion, shared, enabled=guards.rollback)
    follower = Follower(files, registry, releases) if files is not None else None
    champion = releases.champion
    counters, ledger = Counters(), Ledger(policy.ledger_rows)
    cohorts = Cohorts(
        policy.label_horizon_ns,
        policy.cohort_ns,
        policy.loss_block_ns,
        # With fewer, absence alone could look like too much loss; a feed brings each worker its part of the labels.
        share=policy.label_share / settings.workers / policy.loss_factor,
        patience_ns=policy.label_patience_ns,
    )
    post = post or _post(settings)
    routes = Routes(settings.alerts, post, clock=clock, service=settings.service, routing_key=settings.routing_key)
    watch = Watch(
        champion.bundle,
        policy,
        safeguards=guards,
        counters=counters,
        cohorts=cohorts,
        book=AlertBook(settings.service, policy.hold_ns),
        routes=routes,
        started_ns=started_ns,
        rules=rules.read(Path(settings.rules)) if settings.rules is not None else Rules(),
    )
    reviews = ReviewQueue(policy)
    needs_store = store is not None and bool(champion.validator.stored_positions)
    pipeline = Pipeline(
        clock=clock,
        policy=policy,
        safeguards=guards,
        releases=releases,
        store=_feature_store(settings, policy, clock, seams, store) if store is not None and needs_store else None,
        watch=watch,
        counters=counters,
        ledger=ledger,
        log=_decision_log(settings, policy, clock, seams, reviews),
    )
    limiter = Limiter(
        policy.max_in_flight,
        round(policy.queue_share * policy.deadline_ns),
        policy.queue_floor,
        fair=FairShare(policy.fair_callers, policy.fair_burst) if guards.fairness else None,
        retry_s=policy.retry_after_s,
        enabled=guards.shedding,
    )
    if answers is None:
        answers = _answers(settings, policy, connections, pipeline.log)
    keeper = Keeper(Path(settings.state)) if settings.state is not None else None
    kept = keeper.load() if keeper is not None else None
    if kept is not None:
        lost = watch.recall(kept) + ([] if recalled(reviews.recall, kept.get("reviews")) else ["reviews"])
        if lost:  # of an earlier release of this service, of other thresholds, or damaged
            said = "what was kept of these is of another shape, and they start afresh: %s"
            logging.getLogger("reference_service").warning(said, ", ".join(lost))
    return Service(
        clock=clock,
        settings=settings,
        policy=policy,
        registry=registry,
        releases=releases,
        counters=counters,
        limiter=limiter,
        idempotency=idempotency.Idempotency(answers, clock, strict=settings.on_answers_failure == "refuse")
        if guards.idempotency
        else None,
        ledger=ledger,
        cohorts=cohorts,
        watch=watch,
        routes=routes,
        log=pipeline.log,
        pipeline=pipeline,
        tick=tick,
        cache=cache,
        keeper=keeper,
        reviews=reviews,
        follower=follower,
        cost=Cost(policy),
        connections=connections,
        foreign=foreign,
    )


def _features(settings: Settings, connections: Connections) -> Features | None:
    """The feature store that the settings name: a table of our own, or one that all replicas ask."""
    where = settings.feature_store
    if where is None:
        return None
    if not where.startswith(REDIS):
        return stores.load(Path(where))
    from reference_service.shared.features import RedisFeatures  # noqa: PLC0415  # an extra

    # What the contract wants of it; the bundle around it is verified before it is served.
    document = (Path(settings.bundles) / settings.serving / "contract.json").read_bytes()
    fields = msgspec.json.decode(document, type=Contract).fields
    return RedisFeatures(connections.to(where), [field.name for field in fields if field.origin == "store"])


def _answers(settings: Settings, policy: Policy, connections: Connections, log: DecisionLog) -> idempotency.Store:
    """Where answers under idempotency keys are kept: in this process, or where all replicas find them."""
    if settings.answers is None:
        return KeptAnswers(policy.idempotency_ns, policy.idempotency_bytes)
    from reference_service.shared.answers import RedisAnswers  # noqa: PLC0415  # an extra

    return RedisAnswers(
        connections.to(settings.answers), policy.idempotency_ns, policy.idempotency_lease_ns, log.committed
    )


def _post(settings: Settings) -> Post:
    if not settings.alerts:
        return nowhere
    from reference_service.monitor.http_post import HttpPost  # noqa: PLC0415  # a client takes long to load

    return HttpPost()


def _decision_log(settings: Settings, policy: Policy, clock: Clock, seams: Seams, reviews: ReviewQueue) -> DecisionLog:
    sink: Sink | None = None
    tail = Tail()
    if settings.decision_log is not None:
        file = FileSink(Path(settings.decision_log), policy.log_segment)
        sink, tail = file, file.tail
    if "decision_log" in seams:
        sink = seams["decision_log"](sink or _nowhere)
    return DecisionLog(
        clock,
        rows=policy.log_rows,
        wait_ns=policy.log_wait_ns,
        ring=policy.log_ring,
        patience_ns=policy.log_patience_ns,
        backlog=policy.log_backlog,
        anomaly=Anomaly(),
        onlooker=reviews.offer,
        sink=sink,
        tail=tail[:3],
    )


def _nowhere(_records: bytes, _payloads: bytes) -> None:
    """A log that forgets, for rehearsing what is done when writing fails."""


def _feature_store(settings: Settings, policy: Policy, clock: Clock, seams: Seams, store: Features) -> Dependency:
    def check(row: FeatureRow, now_ns: int) -> str:
        return "stale" if now_ns - row.as_of_ns > policy.max_staleness_ns else ""

    retries = RetryBudget(policy.retry_share, policy.retry_burst) if settings.safeguards.retries else None
    return Dependency(
        "feature_store",
        seams["feature_store"](store) if "feature_store" in seams else store,
        kind=FeatureRow,
        check=check,
        breaker=assembly.new_breaker("feature_store", policy),
        retries=retries,
        slow_ns=policy.slow_ns,
        clock=clock,
    )

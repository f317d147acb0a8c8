"""Composition: settings and a clock in, an ASGI app out.

>>> app = create_app({"bundles": "scenarios/bundles/payments", "token": "secret"})
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import msgspec

from reference_service import features as stores
from reference_service import policy as policies
from reference_service import settings as configuration
from reference_service.api import keyed
from reference_service.api.http import ASGI, Edge, Receive, Scope, Send
from reference_service.api.oip import Replies, problem
from reference_service.api.ordinary import Ordinary
from reference_service.audit import recall
from reference_service.audit.decision_log import DecisionLog, Sink
from reference_service.audit.files import FileSink, Tail
from reference_service.bundle import Bundle
from reference_service.clock import Clock, LoopClock
from reference_service.contract import Contract
from reference_service.core.cache import Cache, Known, pays
from reference_service.features import FeatureRow, Features
from reference_service.guards import idempotency
from reference_service.guards.breaker import Breaker
from reference_service.guards.dependency import Dependency
from reference_service.guards.fair_share import FairShare
from reference_service.guards.fallback import Heuristic
from reference_service.guards.kept_answers import KeptAnswers
from reference_service.guards.limiter import Limiter
from reference_service.guards.retry_budget import RetryBudget
from reference_service.monitor import rules
from reference_service.monitor.alerts import AlertBook
from reference_service.monitor.anomaly import Anomaly
from reference_service.monitor.cohorts import Cohorts
from reference_service.monitor.cost import Cost
from reference_service.monitor.counters import Counters
from reference_service.monitor.keeping import Keeper
from reference_service.monitor.labels import Ledger
from reference_service.monitor.review import ReviewQueue
from reference_service.monitor.routes import Routes, new_client
from reference_service.monitor.rules import Rules
from reference_service.monitor.watch import Watch
from reference_service.pipeline import Pipeline
from reference_service.policy import Bands, Policy
from reference_service.release.follow import Follower
from reference_service.release.registry import Loaded, Registry, Scorer, finite
from reference_service.release.rollback import Releases
from reference_service.release.store import Store
from reference_service.service import Service, tick
from reference_service.settings import REDIS, Settings
from reference_service.shared.connect import Connections
from reference_service.validation import Validator

Call = Callable[..., Any]
Seams = Mapping[str, Callable[[Call], Call]]


def create_app(
    settings: Mapping[str, Any] | None = None,
    *,
    clock: Clock | None = None,
    seams: Seams | None = None,
) -> App:
    """The ASGI app. Bundles are loaded at its lifespan's startup; until then it is alive and not ready.

    Args:
        settings: see `settings.Settings`.
        clock: what is waited on and measured by; the running loop's time unless given.
        seams: name of a dependency (``feature_store``, ``model``) → what to wrap its call in. A call returns its
            value or an awaitable of it.

    Raises:
        SettingsError: naming the key.
    """
    return App(configuration.read(settings), clock or LoopClock(), seams or {})


class App:
    """Lifespan, and the edge once it is there.

    Args:
        settings: checked.
        clock: injected into every part.
        seams: wrappers of dependency calls.
    """

    def __init__(self, settings: Settings, clock: Clock, seams: Seams) -> None:
        self._settings = settings
        self._clock = clock
        self._seams = seams
        self._ticker: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None
        self.edge: Edge | None = None
        self.serve: ASGI | None = None  # the edge, and what stands around it

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI scope."""
        if scope["type"] == "http":
            if self.serve is not None:
                await self.serve(scope, receive, send)
            else:
                await _unready(scope, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            raise ValueError(f"no such protocol here: {scope['type']}")

    async def startup(self) -> Service:
        """Load, compose, and start ticking. Raises BundleError, PolicyError or OSError."""
        service = compose(self._settings, self._clock, self._seams)
        await _recall(service)
        self.edge = self.serve = Edge(service)
        if self._settings.traces:
            # Only who traces needs the library, and only then does a request pay for it.
            from reference_service.api.tracing import Traced  # noqa: PLC0415

            self.serve = Traced(self.edge, self._clock)
        loop = asyncio.get_running_loop()
        self._ticker = loop.create_task(_tick_for_ever(service))
        if service.follower is not None:
            self._following = loop.create_task(service.follower.follow(self._clock))
        return service

    async def shutdown(self) -> None:
        """Stop ticking, write what is left of the log, let go of the routes."""
        if self.edge is None or self._ticker is None:
            return
        service, self.edge, self.serve = self.edge.service, None, None
        self._ticker.cancel()
        if service.follower is not None and self._following is not None:
            self._following.cancel()
            service.follower.save()
        await service.log.close()
        await service.routes.close()
        await service.connections.close()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.startup()
        except Exception as error:  # noqa: BLE001  # whatever it is, the server has to be told, and only the kind of it
            await send({"type": "lifespan.startup.failed", "message": f"{type(error).__name__}: {error}"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.shutdown()
        await send({"type": "lifespan.shutdown.complete"})


async def _unready(scope: Scope, send: Send) -> None:
    live = scope["path"] == "/v2/health/live"
    asked = live or scope["path"] == "/v2/health/ready"
    body = b'{"live":true}' if live else b'{"ready":false}' if asked else problem(503, "Starting", "not ready yet")
    kind = b"application/json" if asked else b"application/problem+json"
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), (b"retry-after", b"1")]
    await send({"type": "http.response.start", "status": 200 if live else 503, "headers": headers[: 2 if live else 3]})
    await send({"type": "http.response.body", "body": body})


async def _recall(service: Service) -> None:
    """Know the answers again that were given before the restart."""
    folder, guard = service.settings.decision_log, service.idempotency
    if folder is None or guard is None:
        return
    policy = service.policy
    since_ns = service.clock.now_ns() - policy.idempotency_ns
    decisions = recall.keyed(Path(folder), since_ns, policy.idempotency_recall)
    await keyed.recall(guard.store, decisions, service.releases.champion.bundle.contract.model)


async def _tick_for_ever(service: Service) -> None:
    """Tick at the start and at every multiple of `tick_ns` from it."""
    clock, step = service.clock, service.policy.tick_ns
    due = clock.now_ns()
    while True:
        try:
            service.tick(service, clock.now_ns())
        except Exception:  # a monitor that crashes must not take answering with it; its heartbeat stays away and tells
            logging.getLogger("reference_service").exception("a tick failed")
        due += step
        await clock.sleep(due - clock.now_ns())


def compose(
    settings: Settings,
    clock: Clock,
    seams: Seams,
    client: httpx.AsyncClient | None = None,
    answers: idempotency.Store | None = None,
) -> Service:
    """The parts of a service, wired. Nothing is started and nothing is sent yet.

    Args:
        settings: checked.
        clock: injected into every part.
        seams: wrappers of dependency calls.
        client: sends alerts.
        answers: where answers under idempotency keys are kept, in place of what the settings say.
    """
    guards = settings.safeguards
    scorer = Scorer()
    model_call = seams["model"](scorer) if "model" in seams else scorer
    connections = Connections()
    store = _features(settings, connections)
    files = Store(Path(settings.registry)) if settings.registry is not None else None
    cache = Cache(settings.cache_bytes, always=settings.cache == "on")
    assemble = _assembler(settings, clock, scorer, model_call, store=store, cache=cache)
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
    cohorts = Cohorts(policy.label_horizon_ns, policy.cohort_ns)
    routes = Routes(
        settings.alerts, client or new_client(), clock=clock, service=settings.service, routing_key=settings.routing_key
    )
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
        try:
            watch.recall(kept)
            reviews.recall(kept["reviews"])
        except (KeyError, TypeError, ValueError):  # of an earlier release of this service, or damaged
            logging.getLogger("reference_service").warning("monitors start afresh: their state is of another shape")
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


def _assembler(
    settings: Settings, clock: Clock, scorer: Scorer, model_call: Call, *, store: Features | None, cache: Cache
) -> Callable[[Bundle], Loaded]:
    """What makes a bundle answerable."""
    columns = store.columns if store is not None else ()

    def assemble(bundle: Bundle) -> Loaded:
        policy = policies.read(bundle.policy, settings.policy)
        scorer.add(bundle)
        name = f"model:{bundle.version}"
        model = Dependency(
            name,
            model_call,
            kind=float,
            check=finite,
            breaker=_breaker(name, policy),
            retries=None,  # a model that has failed on a row will fail on it again
            slow_ns=policy.slow_ns,
            clock=clock,
        )
        validator = Validator(bundle, columns, enabled=settings.safeguards.validation)
        return Loaded(
            bundle.version,
            bundle,
            policy,
            bundle.digest[:12],
            Bands(policy),
            validator,
            Ordinary(validator),
            Heuristic(bundle),
            Replies(bundle.contract.model, bundle.version, bundle.digest[:12]),
            model,
            bundle.scores if model_call is scorer else None,  # what stands before the model sees each row
            _known(settings, cache, bundle),
        )

    return assemble


def _known(settings: Settings, cache: Cache, bundle: Bundle) -> Known | None:
    """The cache, in front of a model that is slow enough or of any that an operator says."""
    if settings.cache == "off" or (settings.cache == "auto" and not pays(bundle.blocks)):
        return None
    return Known(cache, bundle.digest, len(bundle.contract.fields), bundle.encode)


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
        breaker=_breaker("feature_store", policy),
        retries=retries,
        slow_ns=policy.slow_ns,
        clock=clock,
    )


def _breaker(name: str, policy: Policy) -> Breaker:
    return Breaker(
        name,
        window_ns=policy.breaker_window_ns,
        calls=policy.breaker_calls,
        share=policy.breaker_share,
        open_ns=policy.breaker_open_ns,
        jitter=policy.breaker_jitter,
        probes=policy.breaker_probes,
    )

"""Prometheus text: one prefix, base units, `_total` on counters, bounded labels. Never a value of a row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from reference_service.guards.idempotency import Idempotency
from reference_service.guards.kept_answers import KeptAnswers
from reference_service.monitor.counters import BUCKETS, Counters
from reference_service.service import Service

PREFIX: Final = "seatrial_service"
Sample = tuple[Mapping[str, str], Any]


def render(service: Service) -> bytes:
    """The exposition of everything that is counted."""
    lines: list[str] = []
    for name, kind, help_, samples in (*_answers(service), *_monitors(service), *_operations(service)):
        full = f"{PREFIX}_{name}"
        lines += [f"# HELP {full} {help_}", f"# TYPE {full} {kind}"]
        lines += [f"{full}{_labels(on)} {value}" for on, value in samples]
    return ("\n".join([*lines, *_latency(service.counters)]) + "\n").encode()


Family = tuple[str, str, str, Iterable[Sample]]


def _answers(service: Service) -> Iterator[Family]:
    counters = service.counters
    sources = {**counters.sources, "model": counters.model + counters.sources["model"]}
    statuses = sorted(counters.statuses.items())
    yield (
        "requests_total",
        "counter",
        "Inference requests answered, by HTTP status.",
        [({"code": str(code)}, count) for code, count in statuses],
    )
    yield (
        "rows_total",
        "counter",
        "Rows answered, by where the answer came from.",
        [({"source": source}, count) for source, count in sources.items()],
    )
    yield "answers_total", "counter", "Rows that got a score.", [({}, counters.answers)]
    yield "fallbacks_total", "counter", "Rows answered by the heuristic.", [({}, counters.fallbacks)]
    yield "shed_total", "counter", "Requests refused for load.", [({}, counters.shed)]
    yield "invalid_total", "counter", "Values of a wrong type or out of range.", _fields(counters.invalid)
    yield "missing_total", "counter", "Rows without a field.", _fields(counters.missing)
    yield "unknown_total", "counter", "Rows with a field that the contract does not know.", _fields(counters.unknown)
    yield "repaired_total", "counter", "Rows whose field came under an alias.", _fields(counters.repaired)
    cache = service.cache
    lookups = [({"result": "hit"}, cache.hits), ({"result": "miss"}, cache.misses)]
    yield "cache_lookups_total", "counter", "Margins that were looked for in the cache.", lookups
    yield "cache_evictions_total", "counter", "Margins that made room for others.", [({}, cache.evictions)]
    yield "cache_entries", "gauge", "Margins in the cache.", [({}, len(cache))]
    yield "in_flight", "gauge", "Requests being answered.", [({}, service.limiter.in_flight)]
    yield (
        "shed_unfair_total",
        "counter",
        "Of those refused for load, by their caller's share.",
        [({}, service.limiter.unfair)],
    )
    yield "left_total", "counter", "Requests whose client left before the answer.", [({}, counters.left)]
    yield "crashed_total", "counter", "Requests that met a defect of the service.", [({}, counters.crashed)]
    if service.idempotency is not None:
        yield from _idempotency(service.idempotency)


def _idempotency(guard: Idempotency) -> Iterator[Family]:
    names = ("replayed", "reused", "busy", "unguarded", "unreachable")
    yield (
        "idempotency_total",
        "counter",
        "Requests under a key that were not simply answered.",
        [({"outcome": name}, getattr(guard, name)) for name in names],
    )
    if isinstance(guard.store, KeptAnswers):
        yield "idempotency_answers", "gauge", "Answers kept in memory.", [({}, guard.store.entries)]
        yield "idempotency_bytes", "gauge", "Memory that they take.", [({}, guard.store.bytes)]
        given_up = guard.store.given_up
        yield "idempotency_given_up_total", "counter", "Answers given up before their time.", [({}, given_up)]


def _monitors(service: Service) -> Iterator[Family]:
    service.log.recent(0)  # closes the block: the queue knows what it holds
    watch, queue = service.watch, service.reviews
    yield (
        "psi",
        "gauge",
        "Population stability index of a field in the last window.",
        [({"field": name}, round(view["psi"], 6)) for name, view in watch.inputs.view().items()],
    )
    score = watch.inputs.score
    yield "score_psi", "gauge", "The same of the scores.", [({}, round(score.drift.psi, 6))]
    if score.estimate.confidence is not None:
        yield (
            "confidence_ratio",
            "gauge",
            "Mean probability of the likelier class in the last window.",
            [({}, round(score.estimate.confidence, 6))],
        )
    yield (
        "alert_firing",
        "gauge",
        "Episodes that stand.",
        [
            ({"alertname": name, "field": field, "severity": note.severity, "owner": note.owner}, 1)
            for (name, field), note in watch.book.episodes.items()
        ],
    )
    yield "review_cases_total", "counter", "Decisions that people were to look at.", [({}, queue.offered)]
    yield (
        "review_dropped_total",
        "counter",
        "Of those, the ones that nobody had looked at in time.",
        [({}, queue.dropped)],
    )
    owner = {"owner": service.policy.owner}
    yield "compute_seconds_total", "counter", "CPU time of this process.", [(owner, round(service.cost.cpu_seconds, 6))]


def _operations(service: Service) -> Iterator[Family]:
    log, routes = service.log, service.routes.routes.items()
    yield "log_failures_total", "counter", "Writes of the decision log that failed.", [({}, log.failures)]
    yield "log_lost_total", "counter", "Decisions that could not be kept.", [({}, log.lost)]
    yield "alerts_sent_total", "counter", "Notifications delivered.", [({"route": k}, r.sent) for k, r in routes]
    yield (
        "alerts_failed_total",
        "counter",
        "Attempts to deliver that failed.",
        [({"route": k}, r.failed) for k, r in routes],
    )
    yield (
        "alerts_lost_total",
        "counter",
        "Notifications for which there was no room.",
        [({"route": k}, r.lost) for k, r in routes],
    )
    if service.stream is not None:
        stream = service.stream
        messages = [({"outcome": "answered"}, stream.answered), ({"outcome": "buried"}, stream.buried)]
        yield "stream_connected", "gauge", "Whether the stream of requests is there.", [({}, int(stream.connected))]
        yield "stream_losses_total", "counter", "Times that it went away.", [({}, stream.losses)]
        yield "stream_messages_total", "counter", "Messages that were finished.", messages
    yield from _arms(service)
    champion = service.releases.champion
    yield (
        "build_info",
        "gauge",
        "What serves.",
        [({"version": champion.version, "bundle": champion.bundle.digest[:12]}, 1)],
    )
    named = [({"dependency": name}, dependency) for name, dependency in service.dependencies()]
    yield "dependency_calls_total", "counter", "Calls of a dependency.", [(on, each.calls) for on, each in named]
    yield (
        "dependency_unusable_total",
        "counter",
        "Calls without a usable answer.",
        [(on, each.unusable) for on, each in named],
    )
    yield "dependency_retries_total", "counter", "Second attempts.", [(on, each.retried) for on, each in named]


def _arms(service: Service) -> Iterator[Family]:
    """Of a split that is running; without bounds where too few labels have matured."""
    trial = service.releases.trial
    if trial is None or trial.gain is None:
        return
    on = {"version": trial.loaded.version, "than": trial.previous.version}
    told = trial.gain.view(service.releases.beside(trial))
    arms = zip(("than", "version"), told["labels"].values(), strict=True)
    yield "arm_labels", "gauge", "Matured labels of each arm.", [({"version": on[arm]}, n) for arm, n in arms]
    bounds = [
        ({**on, "bound": name}, round(told[name], 9)) for name in ("gain", "from", "to") if told[name] is not None
    ]
    yield "arm_gain", "gauge", "By how much `version` has the lower Brier score, at 99 % at all looks together.", bounds


def _fields(counts: Mapping[str, int]) -> list[Sample]:
    return [({"field": field}, count) for field, count in sorted(counts.items())]


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in labels.items()) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _latency(counters: Counters) -> list[str]:
    name = f"{PREFIX}_request_duration_seconds"
    lines = [f"# HELP {name} From entering the service to the answer.", f"# TYPE {name} histogram"]
    total = 0
    for edge, count in zip((*map(str, BUCKETS), "+Inf"), counters.latency, strict=True):
        total += count
        lines.append(f'{name}_bucket{{le="{edge}"}} {total}')
    return [*lines, f"{name}_sum {counters.latency_ns / 1e9}", f"{name}_count {total}"]

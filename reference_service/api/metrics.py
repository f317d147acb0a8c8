"""Prometheus text: one prefix, base units, bounded labels. Never a value of a row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from reference_service.monitor.counters import BUCKETS, Counters
from reference_service.service import Service

_PREFIX = "seatrial_service"


def render(service: Service) -> bytes:
    """The exposition of everything that is counted."""
    counters = service.counters
    sources = {**counters.sources, "model": counters.model + counters.sources["model"]}
    lines = [
        *_family("requests_total", "counter", [({"code": str(k)}, v) for k, v in sorted(counters.statuses.items())]),
        *_family("rows_total", "counter", [({"source": k}, v) for k, v in sorted(sources.items())]),
        *_family("shed_total", "counter", [({}, counters.shed)]),
        *_fields("invalid_total", counters.invalid),
        *_fields("missing_total", counters.missing),
        *_fields("unknown_total", counters.unknown),
        *_fields("repaired_total", counters.repaired),
        *_latency(counters),
        *_family("in_flight", "gauge", [({}, service.limiter.in_flight)]),
        *_family("psi", "gauge", [({"field": k}, round(v["psi"], 6)) for k, v in service.watch.inputs.view().items()]),
        *_family("alert_firing", "gauge", [({"alertname": n, "field": f}, 1) for n, f in service.watch.book.episodes]),
        *_family("log_failures_total", "counter", [({}, service.log.failures)]),
        *_family("log_lost_total", "counter", [({}, service.log.lost)]),
        *_family("alerts_sent_total", "counter", [({"route": k}, r.sent) for k, r in service.routes.routes.items()]),
        *_family(
            "alerts_failed_total", "counter", [({"route": k}, r.failed) for k, r in service.routes.routes.items()]
        ),
        *_family("build_info", "gauge", [(_build(service), 1)]),
    ]
    for name, dependency in service.dependencies():
        lines.append(f'{_PREFIX}_dependency_calls_total{{dependency="{name}"}} {dependency.calls}')
        lines.append(f'{_PREFIX}_dependency_unusable_total{{dependency="{name}"}} {dependency.unusable}')
        lines.append(f'{_PREFIX}_dependency_retries_total{{dependency="{name}"}} {dependency.retried}')
    return ("\n".join(lines) + "\n").encode()


def _build(service: Service) -> dict[str, str]:
    champion = service.releases.champion
    return {"version": champion.version, "bundle": champion.bundle.digest[:12]}


def _fields(name: str, counts: Mapping[str, int]) -> list[str]:
    return _family(name, "counter", [({"field": field}, count) for field, count in sorted(counts.items())])


def _family(name: str, kind: str, samples: Iterable[tuple[Mapping[str, str], Any]]) -> list[str]:
    return [f"# TYPE {_PREFIX}_{name} {kind}", *(f"{_PREFIX}_{name}{_labels(on)} {value}" for on, value in samples)]


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in labels.items()) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _latency(counters: Counters) -> list[str]:
    name = f"{_PREFIX}_request_duration_seconds"
    lines, total = [f"# TYPE {name} histogram"], 0
    for edge, count in zip((*map(str, BUCKETS), "+Inf"), counters.latency, strict=True):
        total += count
        lines.append(f'{name}_bucket{{le="{edge}"}} {total}')
    return [*lines, f"{name}_sum {counters.latency_ns / 1e9}", f"{name}_count {total}"]

"""What an operator configures, apart from the bundle: where things are, who is told, which safeguards are on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

# alertmanager: its webhook's payload, for who listens in its place; alertmanager_v2: the API of Alertmanager itself.
ROUTES: Final = frozenset({"alertmanager", "alertmanager_v2", "slack", "pagerduty"})


REDIS: Final = "redis://"
_FACTORY: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_NAMED: Final = re.compile(r"\$([A-Z][A-Z0-9_]*)")


class SettingsError(ValueError):
    """Settings that cannot be served; the message says which key and why."""


class Safeguards(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Each safeguard has a switch: configuration, not a fork of the code. All are on unless switched off."""

    validation: bool = True  # off: whatever arrives goes to the model as it is, null where it cannot be read
    fallback: bool = True  # off: a failed dependency is a 503, a missed deadline a 504
    alerts: bool = True  # off: monitors count, nobody is told, nothing is quarantined
    rollback: bool = True  # off: the judge counts, and never acts
    quarantine: bool = True  # finer: alerts without quarantine
    shedding: bool = True  # finer: admit everything
    retries: bool = True  # finer: never ask a dependency twice
    fairness: bool = True  # finer: a busy queue is first come, first served
    idempotency: bool = True  # finer: idempotency keys are not looked at
    presence: bool = True  # finer: work goes on for clients that have left


class Artifact(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A model of another library, to be run in a process of its own."""

    factory: str  # module:name; called with the artifact's bytes, gives a callable: float64[n, f] → n margins
    artifact: str  # path
    sha256: str  # of the artifact


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One service process."""

    bundles: str = ""  # folder with one folder per version
    serving: str = "v1"
    token: str = ""  # of the control plane; empty: the control plane refuses everybody
    service: str = "seatrial-reference"  # label on alerts
    alerts: dict[str, str] = {}  # route (one of `ROUTES`) → URL
    rules: str | None = None  # rules file: severities, owners, routes, objectives
    traces: bool = False  # spans to whatever OpenTelemetry's environment variables name; needs the extra [otel]
    routing_key: str = ""  # PagerDuty's
    safeguards: Safeguards = Safeguards()
    feature_store: str | None = None  # customers.npz, or redis://…; absent: the contract has no stored fields
    answers: str | None = None  # redis://… for answers by idempotency key, shared by replicas; absent: in memory
    on_answers_failure: Literal["answer", "refuse"] = "answer"  # what keyed requests get while those are out of reach
    cache: Literal["auto", "on", "off"] = "auto"  # of margins; auto: in front of forests that are slow enough
    cache_bytes: int = 1 << 25
    foreign: dict[str, Artifact] = {}  # version → what scores it in place of its bundle's forest
    batching: Literal["auto", "off"] = "auto"  # of rows across requests; auto: while it is sooner for those who wait
    decision_log: str | None = None  # folder of the log files; absent: kept in memory only
    on_log_failure: Literal["answer", "refuse"] = "answer"  # what happens to replies that could not be logged
    state: str | None = None  # file that monitors keep their evidence and unsent alerts in; absent: a restart forgets
    registry: str | None = None  # folder of the registry of files; absent: releases are kept in memory only
    workers: int = 1  # processes that share the registry: each judges by its own part of alpha
    policy: dict[str, Any] = {}  # overrides of single thresholds of the bundle's policy, for rehearsals


def filled(value: Any, environment: Mapping[str, str]) -> Any:
    """Settings in which each string ``$NAME`` is what the environment says, so that a file need hold no secret.

    Args:
        value: settings, or any part of them.
        environment: such as `os.environ`.

    Raises:
        SettingsError: the environment has no such name, or nothing under it.
    """
    if isinstance(value, Mapping):
        return {key: filled(each, environment) for key, each in value.items()}
    if isinstance(value, list):
        return [filled(each, environment) for each in value]
    named = _NAMED.fullmatch(value) if isinstance(value, str) else None
    if named is None:
        return value
    if not environment.get(named[1]):
        raise SettingsError(f"settings: ${named[1]} is wanted, and the environment has no {named[1]}")
    return environment[named[1]]


def read(settings: Mapping[str, Any] | None) -> Settings:
    """Settings of a plain mapping, such as a target file's. Raises SettingsError."""
    try:
        parsed = msgspec.convert(dict(settings or {}), Settings)
    except msgspec.ValidationError as problem:
        raise SettingsError(f"settings: {problem}") from None
    unknown = sorted(set(parsed.alerts) - ROUTES)
    if unknown:
        raise SettingsError(f"settings: no such alert route: {', '.join(unknown)}")
    if parsed.workers < 1:
        raise SettingsError("settings: workers must be 1 or more")
    for version, model in parsed.foreign.items():
        if not _FACTORY.fullmatch(model.factory):
            raise SettingsError(f"settings: foreign.{version}.factory must be module:name, and is {model.factory!r}")
        if not _SHA256.fullmatch(model.sha256):
            raise SettingsError(f"settings: foreign.{version}.sha256 must be 64 hex digits in lower case")
    if parsed.answers is not None and not parsed.answers.startswith(REDIS):
        raise SettingsError(f"settings: answers are shared in Redis, and {parsed.answers!r} is no {REDIS}… address")
    return parsed

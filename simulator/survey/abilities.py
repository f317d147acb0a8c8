"""What a target file offers, and which families of expectations can be decided with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from simulator.scenario.model import FAMILIES
from simulator.targets.model import Target


@dataclass(frozen=True, slots=True)
class Ability:
    """Something that the target offers or lacks; `why` says where it stands, or what to write into the file."""

    name: str
    there: bool
    why: str


# What a family cannot do without. Families that are not named need replies alone.
NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "alert": ("alerts",), "resolved": ("alerts",), "no_alert": ("alerts", "heartbeat"),
    "labels_seen": ("labels",), "quality": ("labels", "quality"), "fairness": ("labels",),
    "fallback": ("source",), "shed": ("shed",), "rollback": ("version", "release"),
    "exposure": ("version", "release"), "promoted": ("version", "release"), "shadow": ("version", "release"),
    "lossless": ("version", "release"), "refuses": ("version", "release"), "readiness": ("ready",),
    "review": ("decision",),
    "logged": ("decisions",), "retrain": ("version", "retrain"),
    "metered": ("metrics",), "reviewed": ("decision", "reviews"), "shown": ("reviews",),
    "group_errors": ("decision",), "better": ("version", "release"), "cost": ("a process of ours",),
}  # fmt: skip
SAFEGUARDS: Final = ("validation", "fallback", "alerts", "rollback")


def abilities(target: Target) -> tuple[Ability, ...]:
    """Everything that the file alone tells."""
    read, alerts, start = target.read, target.alerts, target.start
    ours = start.command is not None or start.asgi is not None
    names_version = read.version is not None or target.protocol == "oip-v2"
    return (
        Ability("virtual time", start.asgi is not None, start.asgi or "start.asgi: the app, in process"),
        Ability("real time", start.url is not None, start.url or "start.url, and start.command if it is to be started"),
        Ability(
            "a process of ours", ours, "started for the run" if ours else "start.command: else its CPU is out of reach",
        ),
        Ability("ready", start.ready is not None, start.ready or "start.ready: the path that answers 200 when it can"),
        _named("decision", read.decision, "read.decision"),
        Ability("source", read.source is not None, read.source or "read.source: else no answer counts as declared"),
        _named("reasons", read.reasons, "read.reasons"),
        Ability("version", names_version, read.version or ("model_version" if names_version else "read.version")),
        Ability("shed", bool(target.errors.shed), f"statuses {', '.join(map(str, target.errors.shed))}"),
        Ability("alerts", alerts is not None, _routes(target) or "alerts: how they reach the harness"),
        Ability(
            "heartbeat", alerts is not None and alerts.heartbeat is not None,
            alerts.heartbeat.name if alerts and alerts.heartbeat else "alerts.heartbeat: else silence proves nothing",
        ),
        Ability("labels", target.labels is not None, target.labels.post if target.labels else "labels.post"),
        _named("quality", target.quality, "quality: the path of its own estimate"),
        _named("decisions", target.decisions, "decisions: the path of its decision log"),
        _named("metrics", target.metrics.path if target.metrics else None, "metrics: the path, and its counter"),
        _named("reviews", target.reviews.queue if target.reviews else None, "reviews: the paths of its queue"),
        _named("release", target.admin.release, "admin.release"),
        _named("retrain", target.retraining and target.admin.retrain, "admin.retrain, and retraining: its journal"),
        _named("take back", target.admin.rollback, "admin.rollback: else a live run cannot heal a release"),
        Ability("seams", bool(target.seams), ", ".join(target.seams) or "seams: dependencies that may be broken"),
        *(_safeguard(target, name) for name in SAFEGUARDS),
    )  # fmt: skip


def _named(name: str, value: str | None, key: str) -> Ability:
    return Ability(name, value is not None, value or key)


def _routes(target: Target) -> str:
    if target.alerts is None:
        return ""
    asked = (f"asked of {target.alerts.poll.prometheus}",) if target.alerts.poll else ()
    return ", ".join((*target.alerts.receive, *asked))


def _safeguard(target: Target, name: str) -> Ability:
    if name not in target.safeguards:
        return Ability(f"switch of {name}", False, f"safeguards.{name}: else it is not seen red at grade S")  # noqa: FBT003 - a field
    reach = target.start.asgi is not None or target.start.takes_settings
    return Ability(f"switch of {name}", reach, "its settings" if reach else "start.command must take $settings")


@dataclass(frozen=True, slots=True)
class Prospect:
    """Whether a family of expectations can be decided on this target."""

    family: str
    lacks: tuple[str, ...]


def prospects(found: tuple[Ability, ...]) -> tuple[Prospect, ...]:
    """Every family of the language, in its order."""
    there = {ability.name for ability in found if ability.there}
    return tuple(
        Prospect(family, tuple(need for need in NEEDS.get(family, ()) if need not in there)) for family in FAMILIES
    )

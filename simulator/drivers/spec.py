"""What one run is asked to do: the same for every driver, small enough to send to another process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simulator.scenario.model import Scenario
from simulator.targets.model import Target


@dataclass(frozen=True, slots=True)
class Warmup:
    """What the second half of the warm-up showed; `latencies_ns` of answered requests, from the scheduled send."""

    scheduled: int
    errors: int
    latencies_ns: tuple[int, ...]
    alerts_firing: tuple[str, ...]
    versions: tuple[str, ...] = ()  # that answers named, before the first event


# (holds, why): the judgement of a steady state is handed to the driver, which must not know the checks.
Steadiness = Callable[[Scenario, Warmup], tuple[bool, str]]


@dataclass(frozen=True, slots=True)
class RunSpec:
    """One run. `role` is main, twin, aa or off-<safeguard>; `without` the safeguards to switch off in the target."""

    scenario: Scenario
    path: str
    cell: Mapping[str, Any]
    role: str
    target: Target
    target_path: Path
    target_digest: str
    folder: Path
    steadiness: Steadiness
    without: tuple[str, ...] = ()
    driver: str = "virtual"
    versions: Mapping[str, str] = field(default_factory=dict)


def settings_of(spec: RunSpec, substitutions: Mapping[str, str]) -> dict[str, Any]:
    """The target's settings with safeguards switched off and ``$sink``, ``$token``, ``$here``, ``$port`` filled in."""
    settings: dict[str, Any] = dict(spec.target.start.settings)
    settings.setdefault("serving", spec.scenario.given.serving)
    for safeguard in spec.without:
        settings = merge(settings, spec.target.safeguards[safeguard])
    return {k: substitute(v, substitutions) for k, v in settings.items()}


def merge(base: dict[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `patch` laid over it, mappings merged key by key."""
    out = dict(base)
    for key, value in patch.items():
        below = out.get(key)
        out[key] = merge(below, value) if isinstance(below, dict) and isinstance(value, Mapping) else value
    return out


def substitute(value: Any, names: Mapping[str, str]) -> Any:
    """Replace ``$name`` inside every string of a nested value."""
    if isinstance(value, str):
        for name, text in names.items():
            value = value.replace(f"${name}", text)
        return value
    if isinstance(value, Mapping):
        return {k: substitute(v, names) for k, v in value.items()}
    return [substitute(v, names) for v in value] if isinstance(value, list | tuple) else value

"""Slips of the pen that would be green for ever, or blame the service: each is refused, with its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reference_service.monitor.rules import NAMES
from simulator.scenario.errors import BadInput
from simulator.scenario.load import load
from simulator.targets.load import load as load_target
from simulator.trial.prepare import prepare

SCENARIOS = Path(__file__).parents[3] / "scenarios"
TARGETS = sorted(path for path in (SCENARIOS / "targets").glob("*.target.yaml") if load_target(path).alerts)
NULLS = {"event": "e", "at": "5m", "for": "5m", "nulls": {"field": "country", "share": "50%"}}
UP = {"id": "up", "error_rate": {"max": "1%"}}


def refused(folder, *then, when=(NULLS,)):
    """code, line and the key that it points to, of each problem."""
    document = {
        "seatrial": 1, "title": "t", "seed": 1,
        "given": {"population": "payments", "traffic": {"rate": "10/s", "for": "20m"}, "warmup": "2m"},
        "when": list(when), "then": [*then, UP],
    }  # fmt: skip
    path = folder / "slip.scenario.yaml"
    path.write_text(json.dumps(document, indent=1))
    (folder / "targets").symlink_to(SCENARIOS / "targets")
    try:
        prepare(load(path), folder / "out", None, None, "virtual")
    except BadInput as error:
        lines = path.read_text().splitlines()
        return [(p.code, lines[p.line - 1].strip()[: p.column], p.hint) for p in error.problems]
    return []


def released(version, event="e", at="5m", **more):
    return {"event": event, "at": at, "release": {"version": version, "by": "swap"} | more}


@pytest.mark.parametrize(
    ("then", "when", "code", "hint"),
    [
        ({"no_alert": {"name": "feture_drift"}}, (NULLS,), "unknown-name", "feature_drift"),
        ({"no_alert": {"severity": "pages"}}, (NULLS,), "unknown-severity", "page"),
        ({"alert": {"route": "pagerdty"}, "after": "e", "within": "1m"}, (NULLS,), "unknown-route", "pagerduty"),
        ({"quality": {"of": "brier", "within": 1.0}}, (NULLS,), "uncrossable", ""),
        ({"exposure": {"version": "v1", "min": "10%"}}, (NULLS,), "uncrossable", "release"),
        ({"rollback": {"to": "v2"}, "after": "e", "within": "2m"}, (released("v2"),), "bad-value", "before"),
        (UP | {"id": "other"}, (released("v1"),), "no-effect", "another version"),
    ],
)
def test_what_can_never_fail_or_never_happens_is_refused(tmp_path, then, when, code, hint):
    (found,) = refused(tmp_path, {"id": "it"} | then, when=when)
    assert found[0] == code
    assert hint in found[2]


@pytest.mark.parametrize(
    ("then", "when"),
    [
        ({"no_alert": {"name": "feature_drift", "severity": "page", "route": "slack"}}, (NULLS,)),
        ({"quality": {"of": "brier", "within": 0.99}}, (NULLS,)),
        ({"exposure": {"version": "v1", "min": "10%"}}, (released("v2"),)),
        (UP | {"id": "other"}, (released("v2"), released("v1", "back", "9m"))),
        ({"refuses": {"version": "v1"}, "after": "e", "within": "2m"}, (released("v1"),)),
    ],
)
def test_their_neighbours_are_not(tmp_path, then, when):
    assert refused(tmp_path, {"id": "it"} | then, when=when) == []


@pytest.mark.parametrize("path", TARGETS, ids=[path.name for path in TARGETS])
def test_the_shipped_targets_declare_what_the_service_can_send(path):
    alerts = load_target(path).alerts
    assert set(alerts.names) == NAMES
    assert set(alerts.severities) == {"page", "ticket"}

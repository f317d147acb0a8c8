"""A FastAPI service, unmodified, under the virtual driver with a target file of ten lines."""

from __future__ import annotations

import json

import pytest

from simulator.report import text
from simulator.scenario.load import load
from simulator.trial import certify
from simulator.verdict import EXIT_CERTIFIED, EXIT_REFUSED, Status

TARGET = """\
target: 1
start: {asgi: "fastapi_service:app"}
protocol: json
path: /PATH
read: {score: $.score, source: $.source}
errors: {reject: [400, 422], shed: [429, 503]}
service_time: {per_request: 1ms, cores: 2}
"""
SCENARIO = {
    "seatrial": 1,
    "title": "The amount arrives under another name",
    "seed": 5,
    "given": {"population": "payments", "traffic": {"rate": "20/s", "for": "4m"}, "warmup": "30s"},
    "when": [{"event": "renamed", "at": "1m", "for": "1m", "rename": {"field": "amount", "to": "betrag"}}],
    "then": [
        {"id": "refused", "handled": {"by": ["reject"], "min": "99%"}, "of": "renamed"},
        {"id": "bystanders", "harmed": {"max": "0.5%"}, "of": "untouched"},
        {"id": "waits", "latency": {"p95": "60ms"}},
        {"id": "up", "error_rate": {"max": "0.5%"}},
    ],
}


def trial(folder, path, **changes):
    target = folder / "fastapi.target.yaml"
    target.write_text(TARGET.replace("PATH", path))
    scenario = folder / "renamed.scenario.yaml"
    scenario.write_text(json.dumps({**SCENARIO, **changes}))
    return certify(load(scenario), out=folder / "out", target=target)


def test_the_target_file_has_ten_lines_at_most():
    assert len(TARGET.splitlines()) <= 10


@pytest.mark.parametrize("path", ["async", "sync"])
def test_it_runs_as_it_is(tmp_path, path):
    verdict = trial(tmp_path, path)
    assert verdict.exit_code == EXIT_CERTIFIED, text.render(verdict)


def test_what_it_waits_for_takes_virtual_time(tmp_path):
    # Twenty milliseconds of a feature store and one of work: nobody is answered within fifteen.
    verdict = trial(tmp_path, "async", then=[{"id": "waits", "latency": {"p95": "15ms"}}])
    assert verdict.exit_code == EXIT_REFUSED, text.render(verdict)


def test_a_field_that_it_does_not_ask_for_is_missed_by_nobody(tmp_path):
    # The same app swallows a rename of what it never reads; who demands a refusal is told that there was none.
    when = [{"event": "renamed", "at": "1m", "for": "1m", "rename": {"field": "hour", "to": "stunde"}}]
    verdict = trial(tmp_path, "async", when=when)
    judged = {one.id: one.finding.status for one in verdict.cells[0].judged}
    assert judged["refused"] is not Status.PASS, text.render(verdict)

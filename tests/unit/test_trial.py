"""What a trial refuses before anything runs, and when a twin may be used again."""

import json

import pytest

from simulator.history.schema import Outcome
from simulator.scenario.errors import BadInput
from simulator.scenario.load import load
from simulator.targets.codecs import codec
from simulator.targets.model import Target
from simulator.trial import twins
from simulator.trial.prepare import prepare

TARGET = {"target": 1, "start": {"url": "http://127.0.0.1:9"}, "protocol": "json"}
DOCUMENT = {
    "seatrial": 1,
    "title": "a stretch",
    "seed": 1,
    "runs_on": ["live"],
    "given": {"population": "payments", "traffic": {"rate": "20/s", "for": "60s"}, "warmup": "5s"},
    "when": [],
    "then": [{"id": "up", "error_rate": {"max": "5%"}}],
}


@pytest.fixture
def asked(tmp_path):
    """Ask for a live run of the document with changes; nothing listens there, so only a refusal is quick."""

    def ask(traffic=None, when=()):
        document = json.loads(json.dumps(DOCUMENT))
        document["given"]["traffic"] |= traffic or {}
        document["when"] = list(when)
        target = tmp_path / "x.target.yaml"
        target.write_text(json.dumps(TARGET | {"service_time": {"per_request": "5ms"}}))
        path = tmp_path / "x.scenario.yaml"
        path.write_text(json.dumps(document))
        return prepare(load(path), tmp_path / "out", target, None, "live")

    return ask


def test_a_plain_live_run_is_accepted(asked):
    assert [t.manifest.driver for t in asked()] == ["live"]


def test_the_capacity_of_a_live_service_is_not_what_virtual_time_gives_it(asked):
    with pytest.raises(BadInput, match="capacity"):
        asked(when=[{"event": "rush", "at": "20s", "for": "20s", "load": {"to": "1.5x capacity"}}])


def test_another_harness_rehearses_another_twin(asked, monkeypatch):
    (first,) = asked()
    (again,) = asked()
    monkeypatch.setattr(twins, "harness", lambda: "another")
    (other,) = asked()
    assert first.runs["twin"].folder == again.runs["twin"].folder != other.runs["twin"].folder


def test_a_service_that_is_down_does_not_pass_as_one_that_sheds():
    target = Target.model_validate(TARGET)
    assert codec(target, ()).decode(503, b"", 1).outcome is Outcome.ERROR
    said = Target.model_validate(TARGET | {"errors": {"shed": [503]}})
    assert codec(said, ()).decode(503, b"", 1).outcome is Outcome.SHED


@pytest.mark.parametrize(("settings", "offered"), [({}, False), ({"bundles": "$bundles"}, True)])
def test_a_bundle_that_nobody_reads_cannot_be_damaged(tmp_path, settings, offered):
    """In virtual time the damage would be done, and the service would be blamed for what it never saw."""
    released = {"version": "v2", "by": "swap", "bundle": "damaged"}
    when = [{"event": "bad", "at": "20s", "for": "20s", "release": released}]
    path, target = tmp_path / "x.scenario.yaml", tmp_path / "x.target.yaml"
    path.write_text(json.dumps(DOCUMENT | {"runs_on": ["virtual"], "when": when}))
    start = {"asgi": "somewhere:create_app", "settings": settings}
    target.write_text(json.dumps({"target": 1, "start": start, "protocol": "json", "bundles": "$here"}))
    if offered:
        assert prepare(load(path), tmp_path / "out", target, None, "virtual")
        return
    with pytest.raises(BadInput) as caught:
        prepare(load(path), tmp_path / "out", target, None, "virtual")
    assert [p.code for p in caught.value.problems] == ["no-bundles"]


def test_bundles_that_were_not_made_are_bad_input(tmp_path):
    """Who has just cloned this is told what to do, before anything is started."""
    path, target = tmp_path / "x.scenario.yaml", tmp_path / "x.target.yaml"
    path.write_text(json.dumps(DOCUMENT | {"runs_on": ["virtual"]}))
    start = {"asgi": "somewhere:create_app", "settings": {"bundles": "$bundles"}}
    target.write_text(json.dumps({"target": 1, "start": start, "protocol": "json", "bundles": "$here/none"}))
    with pytest.raises(BadInput, match=r"python -m scenarios\.prepare") as caught:
        prepare(load(path), tmp_path / "out", target, None, "virtual")
    assert [p.code for p in caught.value.problems] == ["bundles-missing"]
    (tmp_path / "none").mkdir()
    assert prepare(load(path), tmp_path / "out", target, None, "virtual")

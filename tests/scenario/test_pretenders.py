"""A service that does nothing of what it is for is never certified, however kindly it answers."""

from __future__ import annotations

import json

import pretenders
import pytest

from simulator import trial
from simulator.report import text
from simulator.scenario.load import load
from simulator.verdict import EXIT_CERTIFIED, Status

HANDLED = {"id": "handled", "handled": {"by": ["reject", "default", "fallback", "repair"], "min": "99%"}, "of": "gone"}
BYSTANDERS = {"id": "bystanders", "harmed": {"max": "1%"}, "of": "untouched"}
PARITY = {"id": "parity", "parity": {"min_pairs": 100}, "of": "untouched"}
UP = {"id": "up", "error_rate": {"max": "1%"}}
SEEN = {"id": "quality", "quality": {"of": "brier", "within": 0.5}}
QUIET = {"id": "quiet", "no_alert": "any", "outside": "gone", "settle": "30s"}
PAGED = {"id": "paged", "alert": {"field": "amount"}, "after": "gone", "within": "30s"}
FEW = {"id": "early", "labels_seen": {"max": "90%"}, "of": "gone", "at": "paged"}
SERVICES = [name for name, app in vars(pretenders).items() if callable(app) and not name.startswith("_")]


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """The verdict on one of them, by what was expected of it."""
    folder = tmp_path_factory.mktemp("pretenders")

    def judge(name, *then):
        target = {
            "target": 1, "start": {"asgi": f"pretenders:{name}"}, "protocol": "json", "path": "/predict",
            "read": {"score": "$.score", "source": "$.source"}, "errors": {"reject": [422], "shed": [429]},
            "labels": {"post": "/labels"}, "quality": "/quality", "monitors": "/monitors",
        }  # fmt: skip
        document = {
            "seatrial": 1, "title": "The amount arrives under another name", "seed": 3,
            "given": {"population": "payments", "traffic": {"rate": "20/s", "for": "3m"}, "warmup": "20s",
                      "labels": {"delay": {"median": "10s", "p95": "20s"}}},
            "when": [{"event": "gone", "at": "30s", "for": "1m", "rename": {"field": "amount", "to": "betrag"}}],
            "then": then,
        }  # fmt: skip
        path = folder / f"{name}.target.yaml"
        path.write_text(json.dumps(target))
        scenario = folder / f"{name}.scenario.yaml"
        scenario.write_text(json.dumps(document))
        return trial.certify(load(scenario), out=folder / name, target=path)

    return judge


def statuses(verdict):
    return {judged.id: judged.finding.status for judged in verdict.cells[0].judged}


@pytest.mark.parametrize("name", SERVICES)
def test_a_pretender_is_never_certified(tried, name, capfd):
    verdict = tried(name, HANDLED, BYSTANDERS, UP)
    assert verdict.exit_code != EXIT_CERTIFIED, text.render(verdict)
    assert statuses(verdict)["handled"] is not Status.PASS, text.render(verdict)
    assert "never retrieved" not in capfd.readouterr().err


@pytest.mark.parametrize("name", ["constant", "refuses_everybody"])
def test_to_be_like_a_twin_that_says_nothing_proves_nothing(tried, name):
    verdict = tried(name, HANDLED, BYSTANDERS, PARITY)
    assert set(statuses(verdict).values()) == {Status.UNKNOWN}, text.render(verdict)
    assert all(judged.finding.why.startswith("twin:") for judged in verdict.cells[0].judged)


def test_an_app_whose_memory_outlives_its_end_was_never_restarted(tmp_path):
    """Where the target file names the app itself there is no second one that begins with nothing."""
    target = {
        "target": 1, "start": {"asgi": "pretenders:loses_labels"}, "protocol": "json", "path": "/predict",
        "read": {"score": "$.score", "source": "$.source"},
    }  # fmt: skip
    document = {
        "seatrial": 1, "title": "It is killed, and comes back", "seed": 3,
        "given": {"population": "payments", "traffic": {"rate": "20/s", "for": "2m"}, "warmup": "20s"},
        "when": [{"event": "killed", "at": "30s", "for": "1s", "restart": {"how": "kill"}}],
        "then": [{"id": "up", "error_rate": {"max": "5%"}, "after": "killed.end", "within": "1m"}],
    }  # fmt: skip
    path, scenario = tmp_path / "it.target.yaml", tmp_path / "killed.scenario.yaml"
    path.write_text(json.dumps(target))
    scenario.write_text(json.dumps(document))
    verdict = trial.certify(load(scenario), out=tmp_path / "out", target=path)
    assert statuses(verdict) == {"up": Status.UNKNOWN}, text.render(verdict)
    assert "names an app and no factory" in verdict.cells[0].judged[0].finding.why


@pytest.mark.parametrize(("name", "asked"), [("without_metrics", [SEEN]), ("loses_labels", [QUIET, PAGED, FEW])])
def test_what_is_not_there_is_unknown(tried, name, asked):
    verdict = tried(name, *asked)
    assert set(statuses(verdict).values()) == {Status.UNKNOWN}, text.render(verdict)
    assert "raised" not in text.render(verdict)

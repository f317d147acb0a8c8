"""What can be proven follows from the target file; every family of the language has its row."""

from simulator.scenario.model import FAMILIES
from simulator.survey.abilities import NEEDS, abilities, prospects
from simulator.targets.model import Target

BARE = {"target": 1, "start": {"url": "http://127.0.0.1:1"}, "protocol": "json"}
FULL = {
    **BARE,
    "start": {"command": ["x", "$settings"], "url": "http://127.0.0.1:1", "ready": "/ready"},
    "read": {"score": "$.s", "version": "$.v", "source": "$.f", "decision": "$.d"},
    "alerts": {"heartbeat": {"name": "W", "every": "1m"}}, "labels": {"post": "/labels"}, "quality": "/q",
    "admin": {"release": "POST /r", "rollback": "POST /b", "retrain": "POST /t"},
    "safeguards": {"validation": {"checks": False}},
    "decisions": "/d", "retraining": "/t", "metrics": {"path": "/m", "requests": "n"},
    "reviews": {"queue": "/w", "stands": "/s"},
}  # fmt: skip


def lacking(document):
    found = abilities(Target.model_validate(document))
    return {p.family: p.lacks for p in prospects(found)}, {a.name: a.there for a in found}


def test_a_bare_target_decides_what_replies_show_and_nothing_else():
    lacks, there = lacking(BARE)
    assert set(lacks) == set(FAMILIES)
    assert {family for family, needs in lacks.items() if not needs} == set(FAMILIES) - set(NEEDS) | {"shed"}
    assert lacks["no_alert"] == ("alerts", "heartbeat")
    assert not there["virtual time"]
    assert not there["switch of validation"]


def test_a_full_target_decides_everything():
    lacks, there = lacking(FULL)
    assert {family: needs for family, needs in lacks.items() if needs} == {}
    assert there["switch of validation"]
    started = FULL | {"start": {"command": ["x"], "url": "http://127.0.0.1:1"}}
    assert not lacking(started)[1]["switch of validation"], "a command that takes no settings cannot be switched"


def test_what_a_process_takes_is_known_of_one_that_was_started():
    assert lacking(BARE)[0]["cost"] == ("a process of ours",)
    assert lacking(BARE | {"start": {"asgi": "x:y"}})[0]["cost"] == ()


def test_only_families_of_the_language_are_named():
    assert set(NEEDS) <= set(FAMILIES)

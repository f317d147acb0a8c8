"""Nearly right requests against the whole service, a short form of ``python -m benchmarks.fuzz``."""

import asyncio

import pytest

from benchmarks import shipped
from benchmarks.fuzz import INFER, Said, Sent, campaign, wrong


def test_whatever_strangers_send_is_answered_well():
    figure = asyncio.run(campaign(1500, 7))
    assert figure["wrong"] == 0, figure["first"]
    assert figure["answers_afterwards"]
    assert {"200", "400", "401", "404", "405", "422"} <= set(figure["statuses"])


def test_what_is_not_answered_well_is_seen():
    asked = Sent("POST", INFER, b"", [], b'{"inputs":[{"name":"amount","data":[173.25]}]}')
    told = b'{"type":"about:blank","title":"Bad","status":422,"detail":"%b"}'
    kind = b"application/problem+json"
    assert wrong(asked, Said(422, kind, told % b"a value is out of range")) == ""
    assert wrong(asked, Said(422, kind, told % b"173.25 is out of range")) == "a leak"
    assert wrong(asked, Said(400, kind, told % b"")) == "no problem document"
    assert wrong(asked, Said(422, b"application/json", told % b"")) == "no problem document"
    assert wrong(asked, Said(500, kind, told % b"")) == "status 500"
    assert wrong(asked, Said(400, kind, b"<html>")) == "no JSON"


def test_without_bundles_it_says_how_they_are_made(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(shipped, "BUNDLES", tmp_path)
    with pytest.raises(SystemExit) as ended:
        asyncio.run(campaign(1, 1))
    assert ended.value.code == 2
    assert "python -m scenarios.prepare" in capsys.readouterr().err

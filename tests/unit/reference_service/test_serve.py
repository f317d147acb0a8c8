"""What `seatrial-service SETTINGS` takes from the environment."""

from __future__ import annotations

import json

import pytest

from reference_service.commands import serve
from reference_service.settings import SettingsError, filled


def test_a_name_is_filled_in_wherever_it_stands_alone():
    given = {"token": "$TOKEN", "alerts": {"slack": "$HOOK"}, "list": ["$TOKEN", 1], "as it is": "$token costs $5"}
    found = filled(given, {"TOKEN": "secret", "HOOK": "https://hook"})
    assert found == {
        "token": "secret",
        "alerts": {"slack": "https://hook"},
        "list": ["secret", 1],
        "as it is": "$token costs $5",
    }


@pytest.mark.parametrize("environment", [{}, {"TOKEN": ""}])
def test_a_secret_that_is_not_there_is_an_error_and_never_a_token(environment):
    with pytest.raises(SettingsError, match=r"\$TOKEN is wanted, and the environment has no TOKEN"):
        filled({"token": "$TOKEN"}, environment)


def test_the_command_names_the_file_and_what_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("SEATRIAL_TOKEN", raising=False)
    path = tmp_path / "service.json"
    path.write_text(json.dumps({"token": "$SEATRIAL_TOKEN"}))
    with pytest.raises(SystemExit, match="2"):
        serve.main([str(path)])
    told = capsys.readouterr().err
    assert str(path) in told
    assert "SEATRIAL_TOKEN" in told

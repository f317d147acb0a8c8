"""`seatrial certify`: a whole trial of a small service in virtual time; the digests are those of the files."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

import pytest

SERVICE = """
import json

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        for _ in range(2):
            message = await receive()
            await send({"type": message["type"] + ".complete"})
        return
    body = json.loads((await receive())["body"])
    whole = isinstance(body.get("amount"), float)
    reply = json.dumps({"score": (body.get("amount") or 0.0) / 1e6} if whole or LAX else {"error": "amount"}).encode()
    await send({"type": "http.response.start", "status": 200 if whole or LAX else 422, "headers": []})
    await send({"type": "http.response.body", "body": reply})
"""
SCENARIO = {
    "seatrial": 1, "title": "A renamed column", "seed": 3, "target": "mini", "runs_on": ["virtual"],
    "given": {"population": "payments", "traffic": {"rate": "20/s", "for": "5m"}, "warmup": "20s"},
    "when": [{"event": "renamed", "at": "1m", "for": "2m", "rename": {"field": "amount", "to": "betrag"}}],
    "then": [{"id": "refused", "handled": {"by": ["reject"], "min": "95%"}, "of": "renamed"}],
}  # fmt: skip


@pytest.mark.parametrize(("lax", "code", "word"), [(False, 0, "CERTIFIED"), (True, 1, "REFUSED")])
def test_a_certificate_says_what_was_tried_on_what(tmp_path, lax, code, word):
    (tmp_path / "mini.py").write_text(f"LAX = {lax}\n{SERVICE}", encoding="utf-8")
    target = tmp_path / "mini.target.yaml"
    target.write_text(
        json.dumps({"target": 1, "start": {"asgi": "mini:app"}, "protocol": "json", "read": {"score": "$.score"}}),
        encoding="utf-8",
    )
    scenario = tmp_path / "renamed.scenario.yaml"
    scenario.write_text(json.dumps(SCENARIO), encoding="utf-8")
    elsewhere = tmp_path / "elsewhere.scenario.yaml"
    elsewhere.write_text(json.dumps(SCENARIO | {"runs_on": ["live"]}), encoding="utf-8")
    command = [sys.executable, "-m", "simulator.cli", "certify", ".", "--target", str(target), "--driver", "virtual"]
    done = subprocess.run(
        [*command, "--out", "out", "--quiet"], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert "left out: elsewhere does not run on virtual" in done.stderr
    document = json.loads((tmp_path / "out/certificate.json").read_bytes())
    assert document["_type"] == "https://in-toto.io/Statement/v1"
    predicate = document["predicate"]
    assert (predicate["verdict"], predicate["exitCode"]) == (word, code)
    verdict = (tmp_path / "out/verdict.json").read_bytes()
    assert predicate["verdictJson"]["sha256"] == hashlib.sha256(verdict).hexdigest()
    (trial,) = predicate["trials"]
    assert trial["scenario"]["sha256"] == hashlib.sha256(scenario.read_bytes()).hexdigest()
    assert trial["evidence"].keys() == {"main", "twin", "aa"}
    (subject,) = document["subject"]
    assert subject["name"] == str(target)
    manifest = json.loads(next((tmp_path / "out").glob("*/trial.json")).read_bytes())
    assert subject["digest"]["sha256"] == manifest["target_digest"]

"""`seatrial certify`: a whole trial of a small service in virtual time; the digests are those of the files."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import subprocess
import sys
from functools import reduce

import pytest

from simulator.history.read import Altered
from simulator.trial import recheck

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


def leaves(document, path=()):
    """Where something stands that is neither an object nor a list."""
    pairs = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in pairs:
        yield from leaves(value, (*path, key)) if isinstance(value, dict | list) and value else [(*path, key)]


def tampered(document, path):
    document = copy.deepcopy(document)
    *way, last = path
    place = reduce(lambda part, key: part[key], way, document)
    was = place[last]
    place[last] = was + 1 if isinstance(was, int) else "x" if was is None else f"{was}x"
    return document


def refusals_of(out):
    """The certificate with each of its fields changed, with one more and one fewer; and its neighbours changed."""
    certificate = json.loads((out / "certificate.json").read_bytes())
    bad = {path: tampered(certificate, path) for path in leaves(certificate)}
    bad["more"] = certificate | {"more": 1}
    bad["fewer"] = {"_type": certificate["_type"]}
    for name, document in bad.items():
        yield name, out / "certificate.json", json.dumps(document, indent=1)
    yield "no JSON", out / "certificate.json", "CERTIFIED"
    yield "spaced", out / "certificate.json", json.dumps(certificate)
    yield "verdict, spaced", out / "verdict.json", json.dumps(json.loads((out / "verdict.json").read_bytes()))
    manifest_path = next(out.glob("*/trial.json"))
    manifest = json.loads(manifest_path.read_bytes())
    for key, value in {
        "run_id": "0" * 12, "values": {"a": 1}, "seed": 4, "target_digest": "0" * 64, "driver": "live", "without": "a",
    }.items():  # fmt: skip
        yield f"trial.{key}", manifest_path, json.dumps(manifest | {key: value})
    yield "trial.json", manifest_path, "{}"


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
    if lax:
        return
    out = tmp_path / "out"
    assert recheck(out)[1].exit_code == 0
    tried = 0
    for name, file, content in list(refusals_of(out)):
        whole = file.read_bytes()
        file.write_text(content, encoding="utf-8")
        with pytest.raises(Altered):
            pytest.fail(f"{name} was believed: {recheck(out)[1].exit_code}")
        file.write_bytes(whole)
        tried += 1
    assert tried > 25

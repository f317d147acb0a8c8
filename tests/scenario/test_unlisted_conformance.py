"""Saboteurs of no list that no scenario can see: a probe from outside does. The honest service passes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from simulator.conformance import rows as samples
from simulator.conformance.bench import Bench
from simulator.conformance.berth import moored
from simulator.conformance.probes import admission, control, keys, validation
from simulator.targets.load import load
from simulator.verdict import Status

pytestmark = pytest.mark.slow  # each starts a server

HERE = Path(__file__).parent
WANTED = {"admission.token", "admission.retry_after", "validation.all_named", "validation.huge_integer",
          "keys.apart"}  # fmt: skip


def tried(folder, *saboteur):
    """name → status, of the probes that these are for."""
    path = folder / "unlisted.target.yaml"
    start = {
        "command": ["$python", str(HERE / "unlisted_server.py"), "$port", "$token", *saboteur],
        "url": "http://127.0.0.1:$port",
        "env": {"PYTHONPATH": str(HERE.parents[1])},
        "ready": "/v2/health/ready",
    }
    read = {"score": "score", "decision": "decision", "source": "source", "reasons": "reasons"}
    document = {"target": 1, "start": start, "protocol": "oip-v2", "model": "payments", "read": read}
    path.write_text(json.dumps(document | {"admin": {"release": "POST /v1/releases"}}))
    target = load(path)

    async def go():
        async with moored(target, path) as berth, berth.client() as http:
            bench = Bench(target, http, list(samples.of_population("payments")))
            found = await control.probe(bench) + await validation.probe(bench)
            found += await keys.probe(bench, berth.token)
            return found + await admission.probe(bench, berth.token)

    return {each.name: (each.status, each.why) for each in asyncio.run(go()) if each.name in WANTED}


def test_the_honest_service_keeps_its_promises(tmp_path):
    assert {name: status for name, (status, _) in tried(tmp_path).items()} == dict.fromkeys(WANTED, Status.PASS)


@pytest.mark.parametrize(
    ("saboteur", "caught_by", "told"),
    [
        ("any_token_will_do", "admission.token", "with another token: "),
        ("a_key_is_anybodys", "keys.apart", "another caller: status 422"),
        ("come_back_at_once", "admission.retry_after", "Retry-After: 0"),
        ("names_only_the_first", "validation.all_named", "nothing is said of"),
    ],
)
def test_a_saboteur_is_refused(tmp_path, saboteur, caught_by, told):
    found = tried(tmp_path, saboteur)
    assert {name for name, (status, _) in found.items() if status is Status.FAIL} == {caught_by}
    assert told in found[caught_by][1]

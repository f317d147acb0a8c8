from __future__ import annotations

import json

import pytest
from conftest import ROW, run


def test_an_ordinary_row_is_answered_by_the_model(harness):
    async def body():
        h = harness()
        status, reply = await h.infer(ROW, request_id="main-12")
        assert status == 200
        assert reply["id"] == "main-12"
        assert reply["model_version"] == "v1"
        assert reply["parameters"]["bundle"] == h.service.releases.champion.bundle.digest[:12]
        outputs = {o["name"]: o for o in reply["outputs"]}
        assert outputs["score"]["data"] == [0.598688]
        assert outputs["decision"]["data"] == ["approve"]
        assert outputs["source"]["data"] == ["model"]
        assert outputs["reasons"]["data"] == [""]
        assert outputs["score"]["shape"] == [1]

    run(body())


def test_columns_are_matched_by_name(harness):
    async def body():
        h = harness()
        reordered = dict(reversed(ROW.items()))
        assert await h.one(ROW) == await h.one(reordered)

    run(body())


@pytest.mark.parametrize("body", [b"", b"{", b'{"inputs":[{"name":"amount","data":[NaN]}]}', b"[]", b'{"inputs":{}}'])
def test_what_is_not_a_request_in_json_is_400(harness, body):
    async def scenario():
        h = harness()
        status, reply = await h.call("POST", "/v2/models/payments/infer", body)
        assert status == 400
        assert h.headers[b"content-type"] == b"application/problem+json"
        assert json.loads(reply)["errors"] == []

    run(scenario())

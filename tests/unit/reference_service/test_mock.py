"""The mock answers as the contract says, from the contract alone, and never passes for the model."""

import json
import threading

import httpx
import msgspec
import pytest

from reference_service.api.openapi import example
from reference_service.commands import mock as command
from reference_service.contract import Contract
from reference_service.mock import Mock
from scenarios.prepare import BUNDLES

BUNDLE = BUNDLES / "payments/v1"
CONTRACT = msgspec.json.decode((BUNDLE / "contract.json").read_bytes(), type=Contract)
INFER = f"/v2/models/{CONTRACT.model}/infer"


def asked(**changes):
    request = example(CONTRACT)
    for tensor in request["inputs"]:
        if tensor["name"] in changes:
            tensor["data"] = [changes[tensor["name"]]]
    return request


def said(request, seed=0):
    status, _, body = Mock(CONTRACT, seed).answer("POST", INFER, json.dumps(request).encode())
    return status, json.loads(body)


def outputs(answer):
    return {output["name"]: output["data"][0] for output in answer["outputs"]}


def test_an_answer_says_that_it_is_a_mock():
    status, answer = said(asked())
    assert (status, answer["parameters"]["bundle"], answer["model_version"]) == (200, "mock", CONTRACT.version)
    assert {outputs(answer)[name] for name in ("decision", "source", "reasons")} == {"mock"}
    assert 0 <= outputs(answer)["score"] <= 1


def test_a_score_is_the_rows_and_the_seeds():
    scores = [outputs(said(asked(amount=amount), seed)[1])["score"] for amount in (1.5, 2.5) for seed in (0, 0, 1)]
    assert scores[0] == scores[1]
    assert len(set(scores)) == 4


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"amount": "12"}, "type"), ({"amount": True}, "type"), ({"amount": -5.0}, "range"), ({"amount": None}, "null")],
)
def test_what_the_contract_refuses_is_refused(changes, reason):
    field = next(field for field in CONTRACT.fields if field.name == "amount")
    if reason == "null" and field.on_null != "reject":
        pytest.skip("this contract takes a null there")
    status, answer = said(asked(**changes))
    assert status == 422
    assert answer["errors"] == [{"row": 0, "field": "amount", "reason": reason}]


def test_what_is_no_request_is_malformed():
    assert Mock(CONTRACT).answer("POST", INFER, b"{")[0] == 400
    assert Mock(CONTRACT).answer("POST", INFER, b'{"inputs":[]}')[0] == 422
    assert Mock(CONTRACT).answer("GET", "/nowhere", b"")[0] == 404


def test_it_serves_and_prints_its_example(capsys):
    assert command.main([str(BUNDLE), "--example"]) == 0
    printed = capsys.readouterr().out
    with command.server(Mock(CONTRACT), "127.0.0.1", 0) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{serving.server_port}"
            reply = httpx.post(url + INFER, content=printed)
            assert (reply.status_code, reply.headers["x-mock"]) == (200, "true")
            assert reply.json()["id"] == "example"
            assert INFER in httpx.get(url + "/openapi.json").json()["paths"]
            assert httpx.get(url + "/nowhere").status_code == 404
        finally:
            serving.shutdown()
            thread.join()


def test_without_a_contract_there_is_no_mock(tmp_path, capsys):
    assert command.main([str(tmp_path)]) == 2
    assert "is no contract" in capsys.readouterr().err

"""Drafts of target files, from services that describe themselves in different ways; each is a valid target file."""

from __future__ import annotations

from functools import partial

import httpx
import pytest

from simulator.survey.draft import Unknown, draft
from simulator.targets.load import load


def drafted(tmp_path, replies, url="http://127.0.0.1:8080"):
    """The draft for a service that answers these paths, read back."""

    def answer(request):
        found = replies.get(request.url.path)
        if found is None:
            return httpx.Response(404)
        return httpx.Response(200, text=found) if isinstance(found, str) else httpx.Response(200, json=found)

    with httpx.Client(base_url=url, transport=httpx.MockTransport(answer)) as http:
        text = draft(url, http.get, partial(http.post, json={}))
    path = tmp_path / "x.target.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path)


OIP = {
    "/v2": {"name": "x", "version": "1"}, "/v2/health/ready": {}, "/v2/models": {"models": [{"name": "payments"}]},
    "/v2/models/payments": {"name": "payments", "outputs": [{"name": n} for n in ("score", "decision", "source")]},
}  # fmt: skip
REPLY = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/R"}}}}
OPENAPI = {
    "/health": "ok",
    "/openapi.json": {
        "paths": {
            "/admin": {"post": {}},
            "/v1/predict": {
                "post": {
                    "responses": {
                        "200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/R"}}}}
                    }
                }
            },
        },
        "components": {"schemas": {"R": {"properties": {"id": {"type": "string"}, "risk": {"type": "number"}}}}},
    },
}


def test_an_inference_server_names_its_model_and_its_outputs(tmp_path):
    target = drafted(tmp_path, OIP)
    assert (target.protocol, target.model, target.start.ready) == ("oip-v2", "payments", "/v2/health/ready")
    assert (target.read.score, target.read.decision, target.read.source) == ("score", "decision", "source")


def test_a_model_with_one_output_of_another_name(tmp_path):
    about = {"name": "payments", "outputs": [{"name": "predict"}]}
    assert drafted(tmp_path, OIP | {"/v2/models/payments": about}).read.score == "predict"
    assert drafted(tmp_path, {"/v2": {"name": "x"}}).model == "model"


def test_triton_lists_its_models_elsewhere_and_insists_on_columns(tmp_path):
    replies = {
        "/v2": {"name": "triton", "extensions": ["statistics", "model_repository"]},
        "/v2/repository/index": [{"name": "fraud", "state": "READY"}, {"name": "payments", "state": "READY"}],
        "/v2/models/fraud": {
            "name": "fraud",
            "inputs": [
                {"name": "amount", "datatype": "FP32", "shape": [-1, 1]},
                {"name": "country", "datatype": "BYTES", "shape": [-1, 1]},
            ],
            "outputs": [{"name": "p", "datatype": "FP32", "shape": [-1, 1]}],
        },
    }
    target = drafted(tmp_path, replies)
    assert (target.model, target.read.score) == ("fraud", "p")
    assert (target.tensors.shape, target.tensors.number, target.tensors.integer) == ("column", "FP32", "INT64")


def test_a_model_that_only_the_description_names(tmp_path):
    described = {"paths": {"/metrics": {}, "/v2/models/{name}/infer": {}, "/v2/models/payments/infer": {"post": {}}}}
    replies = {"/v2": {"name": "x"}, "/openapi.json": described, "/v2/models/payments": {"outputs": [{"name": "p"}]}}
    target = drafted(tmp_path, replies)
    assert (target.protocol, target.model, target.read.score) == ("oip-v2", "payments", "p")


def test_mlflow_is_known_by_its_version(tmp_path):
    target = drafted(tmp_path, {"/ping": "\n", "/version": "3.17.2"})
    assert (target.protocol, target.start.ready) == ("mlflow", "/ping")


def test_an_openapi_document_has_the_path_and_the_score(tmp_path):
    target = drafted(tmp_path, OPENAPI, url="https://staging.example")
    assert (target.protocol, target.path, target.read.score) == ("json", "/v1/predict", "$.risk")
    assert target.hosts == ("staging.example",)
    assert target.start.ready == "/health"


@pytest.mark.parametrize("replies", [{}, {"/openapi.json": []}, {"/openapi.json": {"paths": {"/x": {"get": {}}}}}])
def test_nothing_is_made_up(tmp_path, replies):
    with pytest.raises(Unknown):
        drafted(tmp_path, replies)

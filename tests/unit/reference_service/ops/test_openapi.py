"""The description that the service gives of itself, held against what it really says."""

from __future__ import annotations

import asyncio
import json

import jsonschema
import pytest
from conftest import run

from benchmarks.fuzz import INFER, TOKEN, Sent, ask, requests
from benchmarks.shipped import bundles
from reference_service.api.openapi import example
from reference_service.app import create_app
from reference_service.clock import SystemClock


def described(harness):
    async def body():
        h = harness()
        status, reply = await h.call("GET", "/openapi.json", token="")
        assert status == 200
        return h, json.loads(reply)

    return run(body())


def resolved(document, schema):
    """A schema with the document's own, for a validator."""
    return {**schema, "components": document["components"]}


def test_it_names_every_path_that_is_served_and_no_other(harness):
    h, document = described(harness)
    served = {(method.lower(), path) for path, methods in h.edge.core._methods.items() for method in methods}
    assert served == {(method, path) for path, item in document["paths"].items() for method in item}
    assert all(operation["summary"][-1] in ".?" for item in document["paths"].values() for operation in item.values())


def test_schemas_are_schemas(harness):
    _, document = described(harness)
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_its_examples_are_answered_as_it_says(harness):
    async def body():
        h = harness()
        document = json.loads((await h.call("GET", "/openapi.json"))[1])
        schemas = document["components"]["schemas"]
        (asked,) = schemas["Request"]["examples"]
        jsonschema.validate(asked, resolved(document, schemas["Request"]))
        status, reply = await h.call("POST", INFER, json.dumps(asked).encode())
        assert status == 200
        answer = json.loads(reply)
        jsonschema.validate(answer, resolved(document, schemas["Answer"]))
        assert [output["data"] for output in answer["outputs"] if output["name"] == "source"] == [["model"]]
        status, reply = await h.call("POST", INFER, b'{"inputs": []}')
        assert status == 422
        jsonschema.validate(json.loads(reply), resolved(document, schemas["Problem"]))

    run(body())


@pytest.mark.parametrize("what", ["type", "range", "category"])
def test_what_it_forbids_is_refused_or_said_to_be_repaired(harness, what):
    async def body():
        h = harness()
        document = json.loads((await h.call("GET", "/openapi.json"))[1])
        schema = resolved(document, document["components"]["schemas"]["Request"])
        contract = h.service.releases.champion.bundle.contract
        asked = example(contract)
        kinds = {field.name: field for field in contract.fields}
        tensor = next(
            t for t in asked["inputs"]
            if (field := kinds.get(t["name"])) and (field.categories if what == "category" else field.kind == "number")
            and (what != "range" or field.maximum is not None)
        )  # fmt: skip
        tensor["data"] = [{"type": [[1]], "range": 1e300, "category": "never seen"}[what]]
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(asked, schema)
        status, reply = await h.call("POST", INFER, json.dumps(asked).encode())
        sources = [o["data"][0] for o in json.loads(reply).get("outputs", []) if o["name"] == "source"]
        assert status == 422 or sources == ["default"]

    run(body())


def test_whatever_strangers_send_gets_a_status_that_is_described():
    async def body():
        here = bundles("payments")
        settings = {"bundles": str(here), "feature_store": str(here / "customers.npz"), "token": TOKEN.decode()}
        app = create_app(settings, clock=SystemClock())
        await app.startup()
        said = await ask(app.edge, Sent("GET", "/openapi.json", b"", [], b""))
        paths = json.loads(said.body)["paths"]
        undescribed, known = [], 0
        for sent in requests(1200, 11):
            operation = paths.get(sent.path, {}).get(sent.method.lower())
            if operation is not None:
                known += 1
                status = str((await ask(app.edge, sent)).status)
                if status not in operation["responses"]:
                    undescribed.append((sent.method, sent.path, status))
        await app.shutdown()
        assert known > 500
        assert undescribed == []

    asyncio.run(body())

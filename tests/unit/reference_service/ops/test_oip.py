"""What the inference protocol promises beyond a score: versions, requested outputs, binary tensors, its own errors."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from conftest import ROW, encode, run

MODEL = "/v2/models/payments"
HEADER = b"inference-header-content-length"


def wanting(row, *names):
    return json.dumps(json.loads(encode([row], "r")) | {"outputs": [{"name": name} for name in names]}).encode()


def test_only_the_requested_outputs_are_answered_in_their_order(harness):
    async def body():
        h = harness()
        await h.infer(ROW)  # so that the order of columns is known
        status, reply = await h.call("POST", f"{MODEL}/infer", wanting(ROW, "decision", "score"))
        assert status == 200
        assert [output["name"] for output in json.loads(reply)["outputs"]] == ["decision", "score"]
        status, reply = await h.call("POST", f"{MODEL}/infer", wanting(ROW, "probability"))
        assert status == 400
        assert "score, decision, source, reasons" in json.loads(reply)["error"]

    run(body())


def test_a_version_in_the_path_is_the_one_that_answers(harness):
    async def body():
        h = harness()
        release = json.dumps({"version": "v2", "by": "canary", "share": 0.5}).encode()
        assert (await h.call("POST", "/v1/releases", release))[0] == 202
        for version in ("v1", "v2"):
            for customer in range(8):
                sent = encode([{**ROW, "customer": customer}])
                status, reply = await h.call("POST", f"{MODEL}/versions/{version}/infer", sent)
                assert (status, json.loads(reply)["model_version"]) == (200, version)
        assert json.loads((await h.call("GET", MODEL))[1])["versions"] == ["v1", "v2"]
        for path in (f"{MODEL}/versions/v2", f"{MODEL}/versions/v2/ready"):
            assert (await h.call("GET", path))[0] == 200
        for path in (f"{MODEL}/versions/v3", f"{MODEL}/versions/v3/ready", f"{MODEL}/versions/", "/v2/models/other"):
            assert (await h.call("GET", path))[0] == 404
        assert (await h.call("POST", f"{MODEL}/versions/v3/infer", encode([ROW])))[0] == 404

    run(body())


def test_who_chooses_a_version_is_no_evidence_about_it(harness):
    async def body():
        h = harness({"model": lambda call: lambda version, x: float("nan") if version == "v2" else call(version, x)})
        await h.call("POST", "/v1/releases", json.dumps({"version": "v2", "by": "canary", "share": 0.01}).encode())
        for _ in range(10):
            await h.call("POST", f"{MODEL}/versions/v2/infer", encode([ROW]))
        assert h.service.releases.trial is not None

    run(body())


def test_what_is_not_allowed_says_what_is(harness):
    async def body():
        h = harness()
        assert (await h.call("DELETE", f"{MODEL}/infer"))[0] == 405
        assert h.headers[b"allow"] == b"POST"
        assert (await h.call("POST", "/v2/health/live"))[0] == 405
        assert h.headers[b"allow"] == b"GET, HEAD"
        assert (await h.call("GET", "/v1/version", token=""))[0] == 401
        assert h.headers[b"www-authenticate"] == b"Bearer"

    run(body())


def text(*values):
    return b"".join(struct.pack("<I", len(value)) + value for value in values)


COLUMNS = (
    ("customer", "INT64", np.array([7, 8], "<i8").tobytes()),
    ("amount", "FP64", np.array([40.0, np.nan], "<f8").tobytes()),
    ("age_days", "INT32", np.array([12, 13], "<i4").tobytes()),
    ("method", "BYTES", text(b"card", b"wallet")),
    ("foreign", "BOOL", b"\x00\x01"),
)


def binary_body(columns=COLUMNS, shape=(2,), **more):
    inputs = [
        {"name": name, "shape": list(shape), "datatype": kind, "parameters": {"binary_data_size": len(raw)}}
        for name, kind, raw in columns
    ]
    header = json.dumps({"id": "b", "inputs": inputs, **more}).encode()
    return header, header + b"".join(raw for _, _, raw in columns)


async def post(h, header, body):
    sent = []

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    headers = [(HEADER, b"%d" % len(header))]
    scope = {"type": "http", "method": "POST", "path": f"{MODEL}/infer", "query_string": b"", "headers": headers}
    await h.edge(scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


def test_binary_tensors_are_judged_like_the_same_values_in_json(harness):
    async def body():
        h = harness()
        second = {"customer": 8, "amount": None, "age_days": 13, "method": "wallet", "foreign": True}
        _, plain = await h.infer(ROW, second, request_id="b")
        for shape in ((2,), (2, 1)):
            status, _, reply = await post(h, *binary_body(shape=shape))
            assert status == 200
            assert json.loads(reply) == plain
        status, headers, reply = await post(h, *binary_body(parameters={"binary_data_output": True}))
        length = int(headers[HEADER])
        answer, raw = json.loads(reply[:length]), reply[length:]
        assert status == 200
        assert headers[b"content-type"] == b"application/octet-stream"
        assert np.frombuffer(raw[:16]).tolist() == plain["outputs"][0]["data"]
        texts = [text(*(value.encode() for value in output["data"])) for output in plain["outputs"][1:]]
        assert raw[16:] == b"".join(texts)
        sizes = [output["parameters"]["binary_data_size"] for output in answer["outputs"]]
        assert sizes == [16, *map(len, texts)]

    run(body())


@pytest.mark.parametrize(
    "broken",
    [
        (b"{}", b"{}"),
        (b"x" * 10, b"x" * 9),
        binary_body(shape=(3,)),
        binary_body(shape=(1, 2)),
        (binary_body()[0], binary_body()[1] + b"\x00"),
        (binary_body()[0], binary_body()[1][:-1]),
        binary_body((("amount", "FP61", b"\x00" * 16),)),
        binary_body((("method", "BYTES", b"\xff\xff\xff\xff1234"),)),
        binary_body((("method", "BYTES", text(b"\xff", b"\xfe")),)),
    ],
)
def test_binary_tensors_that_do_not_fit_are_400(harness, broken):
    async def body():
        assert (await post(harness(), *broken))[0] == 400

    run(body())


def test_a_compressed_body_is_told_so(harness):
    async def body():
        h = harness()
        sent = []

        async def receive():
            return {"type": "http.request", "body": b"\x1f\x8b", "more_body": False}

        async def send(message):
            sent.append(message)

        headers = [(b"content-encoding", b"gzip")]
        scope = {"type": "http", "method": "POST", "path": f"{MODEL}/infer", "query_string": b"", "headers": headers}
        await h.edge(scope, receive, send)
        assert sent[0]["status"] == 415

    run(body())


@pytest.mark.parametrize("place", [b'"inputs"', b'"name"', b'"r"'])
def test_text_that_is_no_utf_8_is_malformed_and_no_defect_of_ours(harness, place):
    async def body():
        h = harness()
        for known in (False, True):  # before and after the order of columns is known
            spoilt = encode([ROW], "r").replace(place, place[:-1] + b'\xff"', 1)
            assert spoilt != encode([ROW], "r")
            assert (await h.call("POST", f"{MODEL}/infer", spoilt))[0] == 400, known
            await h.infer(ROW)

    run(body())

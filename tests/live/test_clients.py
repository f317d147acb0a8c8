"""Clients that others wrote, unchanged, against a real server on loopback."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import httpx
import numpy as np
import pytest

from benchmarks.service import bodies
from simulator.drivers.start import free_port

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests/servers"))
import place  # noqa: E402 - its folder is no package

pytestmark = [
    pytest.mark.beside,
    pytest.mark.skipif(
        importlib.util.find_spec("tritonclient") is None,
        reason="tritonclient is not installed; `make test` installs it",
    ),
]


@pytest.fixture(scope="module")
def ports(tmp_path_factory):
    """(HTTP port, gRPC port) of a running service."""
    bundles = ROOT / "scenarios/bundles/payments"
    settings = tmp_path_factory.mktemp("service") / "settings.json"
    settings.write_text(json.dumps({"bundles": str(bundles), "feature_store": str(bundles / "customers.npz")}))
    http, grpc = free_port(), free_port()
    command = [sys.executable, "-m", "reference_service", str(settings), "--port", str(http), "--grpc-port", str(grpc)]
    process = subprocess.Popen(command, cwd=ROOT)
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        try:
            if httpx.get(f"http://127.0.0.1:{http}/v2/health/ready").status_code == 200:
                break
        except httpx.TransportError:
            time.sleep(0.05)
    yield http, grpc
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


@pytest.fixture(params=["http", "grpc"])
def triton(request, ports):
    """(tritonclient's module, its client) for each protocol."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs
        if request.param == "http":
            import tritonclient.http as module
        else:
            import tritonclient.grpc as module
    client = module.InferenceServerClient(f"127.0.0.1:{ports[request.param == 'grpc']}")
    yield module, client
    client.close()


NUMPY = {"FP64": np.float64, "INT64": np.int64, "BOOL": np.bool_, "BYTES": np.object_}


def columns(count):
    """Tensors of so many rows: name → (datatype, values)."""
    rows = [json.loads(body)["inputs"] for body in bodies(count)]
    return {each["name"]: (each["datatype"], [row[i]["data"][0] for row in rows]) for i, each in enumerate(rows[0])}


def inputs(module, sent, **how):
    found = []
    for name, (datatype, values) in sent.items():
        tensor = module.InferInput(name, [len(values)], datatype)
        tensor.set_data_from_numpy(np.array([float("nan") if v is None else v for v in values], NUMPY[datatype]), **how)
        found.append(tensor)
    return found


def by_rest(port, sent):
    """What a plain POST of the same is answered: output → data."""
    tensors = [{"name": n, "shape": [len(v)], "datatype": d, "data": v} for n, (d, v) in sent.items()]
    reply = httpx.post(f"http://127.0.0.1:{port}/v2/models/payments/infer", json={"inputs": tensors})
    assert reply.status_code == 200
    return {output["name"]: output["data"] for output in reply.json()["outputs"]}


def test_health_and_metadata(triton):
    _, client = triton
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("payments")
    assert client.is_model_ready("payments", "v1")
    assert not client.is_model_ready("payments", "v9")
    server = client.get_server_metadata()
    model = client.get_model_metadata("payments", "v1")
    server, model = (each if isinstance(each, dict) else as_dict(each) for each in (server, model))
    assert server["name"] == "seatrial-reference"
    assert model["versions"] == ["v1"]
    assert [output["name"] for output in model["outputs"]] == ["score", "decision", "source", "reasons"]
    assert {"name": "amount", "datatype": "FP64", "shape": ["-1"]} in model["inputs"] or {
        "name": "amount",
        "datatype": "FP64",
        "shape": [-1],
    } in model["inputs"]


def as_dict(message):
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(message, preserving_proto_field_name=True)


def test_a_batch_is_answered_as_by_rest(triton, ports):
    module, client = triton
    sent = columns(24)
    plain = by_rest(ports[0], sent)
    answer = client.infer("payments", inputs(module, sent), model_version="v1", request_id="batch-1")
    assert answer.as_numpy("score").tolist() == plain["score"]
    assert [text.decode() for text in answer.as_numpy("decision")] == plain["decision"]
    assert [text.decode() for text in answer.as_numpy("reasons")] == plain["reasons"]


def test_only_what_is_asked_for_is_answered(triton):
    module, client = triton
    wanted = [module.InferRequestedOutput("score")]
    answer = client.infer("payments", inputs(module, columns(1)), outputs=wanted)
    assert answer.as_numpy("score").shape == (1,)
    assert answer.as_numpy("decision") is None


def test_tensors_in_json_and_outputs_in_json(ports):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tritonclient.http as module
    client = module.InferenceServerClient(f"127.0.0.1:{ports[0]}")
    # JSON has no NaN, and this client no null: rows in which every number is known.
    sent = {n: (d, [1.0 if v is None else v for v in values]) for n, (d, values) in columns(3).items()}
    wanted = [module.InferRequestedOutput(name, binary_data=False) for name in ("score", "source")]
    answer = client.infer("payments", inputs(module, sent, binary_data=False), outputs=wanted)
    assert answer.as_numpy("score").tolist() == by_rest(ports[0], sent)["score"]
    client.close()


def test_a_refusal_says_why_and_shows_no_value(triton):
    module, client = triton
    sent = columns(1) | {"amount": ("FP64", [-77777.0])}
    from tritonclient.utils import InferenceServerException

    with pytest.raises(InferenceServerException, match=r"Contract violation|amount") as refused:
        client.infer("payments", inputs(module, sent))
    assert "77777" not in str(refused.value)
    with pytest.raises(InferenceServerException, match="no such"):
        client.infer("payments", inputs(module, columns(1)), model_version="v9")
    with pytest.raises(InferenceServerException, match="no such"):
        client.infer("nobody", inputs(module, columns(1)))


def known(count):
    """Tensors without a null, which neither of these clients can send."""
    return {n: (d, [1.0 if v is None else v for v in values]) for n, (d, values) in columns(count).items()}


def as_inputs(sent):
    return [{"name": n, "shape": [len(v)], "datatype": d, "data": v} for n, (d, v) in sent.items()]


@pytest.mark.slow
@pytest.mark.skipif(
    not place.python("kserve").exists(), reason="KServe's SDK is elsewhere: python tests/servers/place.py kserve"
)
def test_kserve_s_clients_get_what_a_plain_post_gets(ports):
    sent = known(3)
    told = subprocess.run(
        [place.python("kserve"), ROOT / "tests/servers/kserve_client.py", *map(str, ports)],
        input=json.dumps(as_inputs(sent)), capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    found = json.loads(told.stdout)
    assert found["ready"] == [True] * 6
    assert found["rest"] == found["grpc"] == by_rest(ports[0], sent)


@pytest.mark.slow
@pytest.mark.skipif(
    not place.python("mlserver").exists(), reason="MLServer is elsewhere: python tests/servers/place.py mlserver"
)
@pytest.mark.parametrize("how", [[], ["--batch-size", "2"], ["--binary-data"]], ids=["json", "together", "binary"])
def test_mlserver_s_batch_command_gets_what_a_plain_post_gets(ports, tmp_path, how):
    sent = known(3)
    asked, answered = tmp_path / "asked.jsonl", tmp_path / "answered.jsonl"
    asked.write_text(f"{json.dumps({'inputs': as_inputs(sent)})}\n" * 2)
    command = [place.python("mlserver").with_name("mlserver"), "infer", "-u", f"127.0.0.1:{ports[0]}", "-m", "payments"]
    subprocess.run([*command, "-i", asked, "-o", answered, *how], capture_output=True, timeout=120, check=True)
    replies = [json.loads(line) for line in answered.read_text().splitlines()]
    assert len(replies) == 2
    for reply in replies:
        assert {output["name"]: output["data"] for output in reply["outputs"]} == by_rest(ports[0], sent)

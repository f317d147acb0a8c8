"""Codecs: the fast road and the slow road say the same, and no reply makes them raise."""

import json
import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.history.schema import Outcome, Source
from simulator.plan import Chunk
from simulator.targets.codecs import codec
from simulator.targets.model import Read, Target, Tensors
from simulator.targets.rows import record, spans
from simulator.world.chunk import taken
from simulator.world.population import Field

FIELDS = (
    Field("amount", "number"),
    Field("hour", "integer"),
    Field("new", "boolean"),
    Field("method", "category"),
)
TARGET = Target.model_validate(
    {
        "target": 1,
        "start": {"url": "http://127.0.0.1:1"},
        "protocol": "oip-v2",
        "read": {"score": "score", "decision": "decision", "source": "source", "reasons": "reasons"},
        "errors": {"reject": [400, 422], "shed": [429]},
    }
)
MLFLOW = TARGET.model_copy(update={"protocol": "mlflow", "read": Read(score="$.predictions")})

number = st.one_of(st.none(), st.floats(-1e6, 1e6))
whole = st.one_of(st.none(), st.integers(-1000, 1000))
rows = st.lists(
    st.tuples(number, whole, st.one_of(st.none(), st.booleans()), st.one_of(st.none(), st.text(max_size=5))),
    min_size=1,
    max_size=12,
)


def chunk(values, batch=1, overrides=None):
    n = len(values)
    columns = list(zip(*values, strict=True))
    sent = {
        f.name: np.array(c, dtype=object)
        if f.kind == "category"
        else np.array([math.nan if v is None else float(v) for v in c])
        for f, c in zip(FIELDS, columns, strict=True)
    }
    zeros = np.zeros(n, dtype=np.int64)
    return Chunk(
        stream=np.full(n, "main", dtype=object), index=np.arange(n), copy=zeros, request=np.arange(n) // batch,
        row=np.arange(n) % batch, entity=zeros, segment=np.full(n, "", dtype=object), event_ns=zeros,
        scheduled_ns=zeros, touched=zeros, potent=zeros, truth=zeros, label_due_ns=zeros, reported=zeros, react_u=zeros,
        retry_u=zeros, sent=sent,
        overrides=overrides or {},
    )  # fmt: skip


COLUMNS = TARGET.model_copy(update={"tensors": Tensors(shape="column", number="FP32", integer="INT32")})


@pytest.mark.parametrize("target", [TARGET, COLUMNS], ids=["vectors", "columns"])
@given(values=rows, batch=st.integers(1, 4))
def test_both_roads_write_the_same_document(target, values, batch):
    made = chunk(values, batch)
    oip = codec(target, FIELDS)
    for body, (first, last) in zip(oip.encode(made), spans(made), strict=True):
        fast = msgspec.json.decode(body)
        slow = msgspec.json.decode(
            oip.encode_records(fast["id"], [record(made, i, FIELDS) for i in range(first, last)])
        )
        assert fast == slow
        assert fast["id"] == f"main-{first}"
        for tensor, column in zip(fast["inputs"], zip(*values[first:last], strict=True), strict=True):
            assert tensor["shape"] == target.tensors.of(last - first)
            assert tensor["data"] == list(column)


def test_a_server_that_insists_gets_the_types_that_it_wants():
    body = codec(COLUMNS, FIELDS).encode(chunk([(1.5, 2, True, "card")]))[0]
    wanted = [("amount", "FP32"), ("hour", "INT32"), ("new", "BOOL"), ("method", "BYTES")]
    assert [(t["name"], t["datatype"]) for t in json.loads(body)["inputs"]] == wanted
    changed = codec(COLUMNS, FIELDS).encode(chunk([(1.5, 2, True, "card")], overrides={0: {"amount": 2, "hour": 2.5}}))
    assert [t["datatype"] for t in json.loads(changed[0])["inputs"]] == ["FP32", "FP64"]


def test_what_a_disturbance_changed_is_sent_as_it_is():
    values = [(1.5, 2, True, "card"), (2.5, 3, False, "cash")]
    changed = {"amt": "1,50", "hour": math.nan, "new": None, "method": ["card"]}
    body = codec(TARGET, FIELDS).encode(chunk(values, overrides={0: changed}))[0]
    document = json.loads(body)
    assert [(t["name"], t["datatype"]) for t in document["inputs"]] == [
        ("amt", "BYTES"), ("hour", "FP64"), ("new", "BOOL"), ("method", "BYTES"),
    ]  # fmt: skip
    assert math.isnan(document["inputs"][1]["data"][0])
    assert b'"data":[NaN]' in body


def test_in_a_batch_an_absent_key_is_null_beside_present_ones():
    values = [(1.5, 2, True, "card"), (2.5, 3, False, "cash")]
    body = codec(TARGET, FIELDS).encode(chunk(values, batch=2, overrides={1: {"amount": 2.5}}))[0]
    data = {t["name"]: t["data"] for t in msgspec.json.decode(body)["inputs"]}
    assert data == {"amount": [1.5, 2.5], "hour": [2, None], "new": [True, None], "method": ["card", None]}


def test_mlflow_sends_columns_and_data():
    values = [(1.5, 2, True, "card"), (2.5, 3, False, None)]
    body = codec(MLFLOW, FIELDS).encode(chunk(values, batch=2))[0]
    assert json.loads(body) == {
        "dataframe_split": {
            "columns": ["amount", "hour", "new", "method"],
            "data": [[1.5, 2, True, "card"], [2.5, 3, False, None]],
        }
    }


def oip_reply(**outputs):
    tensors = [{"name": k, "shape": [len(v)], "datatype": "X", "data": v} for k, v in outputs.items()]
    return json.dumps({"model_name": "m", "model_version": "v7", "outputs": tensors}).encode()


def test_a_reply_is_read_row_by_row():
    body = oip_reply(
        score=[0.25, None], decision=["approve", ""], source=["default", "rejected"], reasons=["null:amount", ""]
    )
    reply = codec(TARGET, FIELDS).decode(200, body, 2)
    assert reply.outcome is Outcome.OK
    assert reply.version == "v7"
    assert reply.scores[0] == 0.25
    assert math.isnan(reply.scores[1])
    assert reply.sources == (Source.DEFAULT, Source.REJECTED)
    assert reply.reasons == ("null:amount", "")


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (422, Outcome.REJECT),
        (400, Outcome.REJECT),
        (429, Outcome.SHED),
        (500, Outcome.ERROR),
        (503, Outcome.ERROR),
        (302, Outcome.ERROR),
    ],
)
def test_statuses_go_through_the_error_map(status, outcome):
    assert codec(TARGET, FIELDS).decode(status, b"{}", 1).outcome is outcome


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"error":"no"}', b'{"outputs":[]}', b'{"outputs":[{"name":"score","data":[NaN]}]}',
     b'{"outputs":[{"name":"score","data":["x"]}]}', oip_reply(score=[0.5, 0.5])],
)  # fmt: skip
def test_an_error_dressed_as_success_is_unparseable(body):
    assert codec(TARGET, FIELDS).decode(200, body, 1).outcome is Outcome.UNPARSEABLE


@given(st.binary(max_size=60), st.sampled_from([200, 201, 400, 500]))
def test_no_reply_makes_a_codec_raise(body, status):
    for target in (TARGET, MLFLOW):
        assert codec(target, FIELDS).decode(status, body, 1).outcome in set(Outcome)


def test_a_bare_nan_in_a_reply_is_not_json():
    mlflow = codec(MLFLOW, FIELDS)
    assert mlflow.decode(200, b'{"predictions": [NaN]}', 1).outcome is Outcome.UNPARSEABLE
    assert mlflow.decode(200, b'{"predictions": [0.5]}', 1).scores == (0.5,)


def test_nothing_is_written_of_no_request():
    nobody = taken(chunk([(1.0, 2, True, "a")]), np.zeros(0, dtype=np.int64))
    for target in (TARGET, MLFLOW):
        assert codec(target, FIELDS).encode(nobody) == []

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import msgspec
import pytest
from conftest import FIELDS, ROW, LinearBundle, encode, run
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_service.api.oip import decode
from reference_service.api.ordinary import Ordinary
from reference_service.validation import Validator

VALIDATOR = Validator(LinearBundle(), ("spent",))


@dataclass
class Column:
    name: str
    data: list


def columns(row):
    return [Column(name, [value]) for name, value in row.items()]


# ---------------------------------------------------------------- the two readers agree

ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 200_000),
    st.floats(-10, 2e5, allow_nan=False),
    st.sampled_from(["", "N/A", "nan", "card", "wallet", "cheque", "12.5"]),
    st.lists(st.integers(0, 3), max_size=2),
)
NAMES = st.sampled_from(["customer", "amount", "age_days", "method", "foreign", "amt", "extra"])


@given(row=st.dictionaries(NAMES, ANYTHING, max_size=7), stored=st.one_of(st.none(), st.floats(0, 1e3)))
@settings(max_examples=300, deadline=None)
def test_whatever_the_quick_reader_accepts_the_thorough_one_reads_alike(row, stored):
    tensors = columns({**ROW, **row})
    quick = VALIDATOR.clean(tensors)
    if quick is None:
        return
    entity = quick.pop()
    thorough = VALIDATOR.inspect(VALIDATOR.match(tensors), 0)
    assert not thorough.problems
    assert not thorough.reasons
    assert entity == thorough.entity
    filled = VALIDATOR.fill(quick, (stored,))
    VALIDATOR.complete(thorough, (stored,))
    assert filled == (not thorough.reasons)
    if filled:
        assert [str(float(v)) for v in quick] == [str(v) for v in thorough.used]


ORDER = ("amount", "age_days", "method", "foreign", "customer")


def body_of(row):
    return msgspec.json.encode(
        {"id": "r-1", "inputs": [{"name": k, "shape": [1], "data": [v]} for k, v in row.items()]}
    )


def ordinary(order=ORDER):
    made = Ordinary(VALIDATOR)
    made.learn(order)
    return made


@given(row=st.dictionaries(NAMES, ANYTHING, max_size=7), order=st.permutations(ORDER))
@settings(max_examples=300, deadline=None)
def test_what_the_decoder_itself_accepts_the_quick_reader_reads_alike(row, order):
    whole = {name: {**ROW, **row}[name] for name in order} | row
    body = body_of(whole)
    read = ordinary(order).read(body)
    slow = VALIDATOR.clean(decode(body).inputs)
    if read is None:
        if slow is not None:  # it may be stricter only about an order that it has not learned
            assert list(whole) != list(order)
        return
    assert read[0] == "r-1"
    assert str([float(v) for v in read[1]]) == str([float(v) for v in slow])


def test_the_decoder_accepts_the_ordinary_row_and_nothing_odd():
    reader = ordinary(tuple(ROW))
    assert reader.read(body_of(ROW)) is not None
    assert Ordinary(VALIDATOR).read(body_of(ROW)) is None  # nothing learned yet
    types = ({"amount": None}, {"amount": "12"}, {"amount": True}, {"customer": None}, {"customer": "7"})
    values = ({"amount": -1.0}, {"method": "cheque"}, {"foreign": 1}, {"age_days": 1.5}, {"age_days": 10**400})
    for odd in (*types, *values):
        assert reader.read(body_of({**ROW, **odd})) is None, odd
    assert reader.read(body_of({**ROW, "extra": 1})) is None
    assert reader.read(body_of(ROW)[:-1]) is None
    assert reader.read(body_of(ROW).replace(b'"id"', b'"outputs":[{"name":"score"}],"id"')) is None  # not all of them


def test_it_learns_a_new_order_but_not_for_ever():
    reader, shuffled = ordinary(tuple(ROW)), dict(reversed(ROW.items()))
    assert reader.read(body_of(shuffled)) is None
    reader.learn(tuple(shuffled))
    assert reader.read(body_of(shuffled)) is not None
    for _ in range(20):
        reader.learn(tuple(ROW))
        reader.learn(tuple(shuffled))
    assert (reader.read(body_of(ROW)) is None) != (reader.read(body_of(shuffled)) is None)


def test_the_ordinary_row_takes_the_quick_road():
    assert VALIDATOR.clean(columns(ROW)) == [40.0, 12, 0.0, 0.0, pytest.approx(math.nan, nan_ok=True), 7]
    assert VALIDATOR.clean(columns({**ROW, "age_days": None})) is not None  # training had nulls there


@pytest.mark.parametrize(
    "odd",
    [{"amount": None}, {"amount": "12"}, {"amount": True}, {"amount": -1.0}, {"method": "cheque"}, {"foreign": 1},
     {"age_days": 1.5}, {"extra": 1}, {"customer": None}, {"customer": "7"}],
)  # fmt: skip
def test_anything_odd_does_not(odd):
    assert VALIDATOR.clean(columns({**ROW, **odd})) is None


# ---------------------------------------------------------------- policies, over HTTP


@pytest.mark.parametrize("null", [None, "", "N/A", "NA", "nan", "NaN", " null "])
def test_every_spelling_of_null_is_answered_by_the_declared_default_and_says_so(harness, null):
    async def body():
        h = harness()
        source, reasons, score, _ = await h.one({**ROW, "amount": null})
        assert (source, reasons) == ("default", "null:amount")
        assert score == (await h.one({**ROW, "amount": 50.0}))[2]

    run(body())


def test_a_missing_key_is_declared_as_missing_also_where_nulls_are_at_home(harness):
    async def body():
        h = harness()
        without = {name: value for name, value in ROW.items() if name not in {"amount", "age_days"}}
        source, reasons, *_ = await h.one(without)
        assert source == "default"
        assert reasons == "missing:amount,missing:age_days"
        assert (await h.one({**ROW, "age_days": None}))[:2] == ("model", "")

    run(body())


def test_an_alias_is_a_repair(harness):
    async def body():
        h = harness()
        renamed = {("amt" if name == "amount" else name): value for name, value in ROW.items()}
        assert (await h.one(renamed))[:2] == ("model", "alias:amount")
        assert (await h.one(renamed))[2] == (await h.one(ROW))[2]
        assert h.service.counters.repaired["amount"] == 2

    run(body())


def test_a_field_that_arrives_under_both_names_is_taken_from_its_own(harness):
    async def body():
        h = harness()
        assert (await h.one({**ROW, "amt": 99.0}))[1:3] == ("", (await h.one(ROW))[2])

    run(body())


def test_an_unseen_category_is_defaulted_and_declared(harness):
    async def body():
        h = harness()
        assert (await h.one({**ROW, "method": "cheque"}))[:2] == ("default", "unseen:method")

    run(body())


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("amount", "12.5", "invalid_type"),
        ("amount", True, "invalid_type"),
        ("amount", [12.5], "invalid_type"),
        ("amount", -0.5, "out_of_range"),
        ("amount", 1e300, "out_of_range"),
        ("foreign", 1, "invalid_type"),
        ("foreign", None, "null"),
        ("foreign", "true", "invalid_type"),
        ("customer", None, "null"),
    ],
)
def test_what_the_contract_refuses_is_422_and_names_row_field_and_reason_but_no_value(harness, field, value, reason):
    async def body():
        h = harness()
        status, reply = await h.call("POST", "/v2/models/payments/infer", encode([{**ROW, field: value}]))
        assert status == 422
        assert h.headers[b"content-type"] == b"application/problem+json"
        document = json.loads(reply)
        assert document["errors"] == [{"row": 0, "field": field, "reason": reason}]
        assert document["status"] == 422
        assert b"12.5" not in reply
        assert b"Traceback" not in reply

    run(body())


def test_nothing_is_converted_silently_where_the_policy_is_a_default(harness):
    async def body():
        h = harness()
        assert (await h.one({**ROW, "age_days": 1.5}))[:2] == ("default", "invalid_type:age_days")
        assert (await h.one({**ROW, "age_days": 12.0}))[:2] == ("model", "")

    run(body())


def test_one_bad_row_does_not_reject_the_others(harness):
    async def body():
        h = harness()
        status, reply = await h.infer(ROW, {**ROW, "foreign": None}, {**ROW, "amount": None}, request_id="b-1")
        assert status == 200
        outputs = {o["name"]: o["data"] for o in reply["outputs"]}
        assert outputs["source"] == ["model", "rejected", "default"]
        assert outputs["score"][1] is None
        assert outputs["decision"][1] == ""
        assert outputs["reasons"] == ["", "null:foreign", "null:amount"]
        assert outputs["score"][0] == (await h.one(ROW))[2]

    run(body())


def test_rows_answered_together_score_as_alone(harness):
    async def body():
        h = harness()
        rows = [{**ROW, "amount": float(k), "customer": 7} for k in range(20)]
        _, reply = await h.infer(*rows)
        together = reply["outputs"][0]["data"]
        assert together == [(await h.one(row))[2] for row in rows]

    run(body())


def test_a_request_all_of_whose_rows_are_refused_is_422(harness):
    async def body():
        h = harness()
        status, reply = await h.infer({**ROW, "foreign": None}, {**ROW, "amount": "x"})
        assert status == 422
        assert [(e["row"], e["field"]) for e in reply["errors"]] == [(0, "foreign"), (1, "amount")]

    run(body())


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ([], "no_rows"),
        ([{"name": "amount", "data": []}], "no_rows"),
        ([{"name": "amount", "data": [1.0]}, {"name": "foreign", "data": [True, False]}], "shape"),
        ([{"name": "amount", "data": [1.0]}, {"name": "amount", "data": [2.0]}], "duplicate"),
    ],
)
def test_columns_that_do_not_fit_together_are_422(harness, inputs, reason):
    async def body():
        h = harness()
        status, reply = await h.call("POST", "/v2/models/payments/infer", json.dumps({"inputs": inputs}).encode())
        assert status == 422
        assert json.loads(reply)["errors"][0]["reason"] == reason

    run(body())


def test_nested_data_of_a_column_shape_are_read_flat_and_any_other_list_is_a_wrong_type(harness):
    async def body():
        h = harness()
        flat = json.loads(encode([ROW]))
        nested = {"id": "n", "inputs": [{**t, "shape": [1, 1], "data": [t["data"]]} for t in flat["inputs"]]}
        status, reply = await h.call("POST", "/v2/models/payments/infer", json.dumps(nested).encode())
        assert status == 200
        assert json.loads(reply)["outputs"][0]["data"] == [(await h.one(ROW))[2]]
        assert (await h.infer({**ROW, "amount": [40.0]}))[0] == 422

    run(body())


def test_a_field_without_a_declared_default_has_its_typical_value():
    fields = (msgspec.structs.replace(FIELDS[0], default=None), *FIELDS[1:])
    row = Validator(LinearBundle(fields=fields), ("spent",)).inspect(
        VALIDATOR.match(columns({**ROW, "amount": None})), 0
    )
    assert row.used[0] == 45.0


def test_a_store_without_a_column_that_the_contract_needs_is_refused():
    with pytest.raises(ValueError, match="spent"):
        Validator(LinearBundle(), ())


def test_an_entity_that_the_store_does_not_know_is_answered_by_defaults(harness):
    async def body():
        h = harness()
        assert (await h.one({**ROW, "customer": 123_456}))[:2] == ("default", "null:spent")

    run(body())


# ---------------------------------------------------------------- the safeguard switched off


def test_without_validation_everything_goes_to_the_model_as_if_nothing_had_happened(harness):
    async def body():
        h = harness(safeguards={"validation": False})
        as_null = (await h.one({**ROW, "amount": 0.0}))[2]  # this model reads null as 0
        for odd in ({"amount": None}, {"amount": "12"}, {"amount": True}, {"method": "cheque"}, {"foreign": None}):
            assert (await h.one({**ROW, **odd}))[:2] == ("model", "")
        assert (await h.one({**ROW, "amount": None}))[2] == as_null
        assert (await h.one({**ROW, "amount": -5.0}))[2] != as_null
        assert (await h.one({"amount": 1.0}))[:2] == ("model", "")

    run(body())


def test_a_body_is_decoded_without_looking_at_what_it_does_not_need():
    request = decode(b'{"id":"a","parameters":{"x":1},"inputs":[{"name":"n","datatype":"FP64","data":[1.5]}]}')
    assert (request.id, request.inputs[0].data) == ("a", [1.5])

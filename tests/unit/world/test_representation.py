from __future__ import annotations

import math

import numpy as np
import pytest

from simulator.scenario.verbs import REPRESENTATION, Event
from simulator.world.disturbances.representation import VERBS, differs, records
from simulator.world.population import Field

FIELDS = (
    Field("amount", "number"),
    Field("method", "category", categories=("card", "wallet")),
    Field("count", "integer"),
    Field("fresh", "boolean"),
)
RECORD = {"amount": 12.5, "method": "wallet", "count": 3, "fresh": True}
NAMED = {field.name: field for field in FIELDS}


def apply(verb, record=None, key=1, **params):
    event = Event.model_validate({"event": "e", "at": "1m", verb: params})
    return VERBS[verb](RECORD if record is None else record, event.params, NAMED.get(params.get("field", "")), key)


def test_every_verb_of_the_layer_is_here():
    assert set(VERBS) == REPRESENTATION - {"garble"}  # which is about bodies, not records


def test_records_are_what_clients_send():
    sent = {
        "amount": np.array([12.5, np.nan]),
        "method": np.array(["card", None], dtype=object),
        "count": np.array([3.0, np.nan]),
        "fresh": np.array([1.0, 0.0]),
    }
    first, second = records(sent, FIELDS, np.array([0, 1]))
    assert first == {"amount": 12.5, "method": "card", "count": 3, "fresh": True}
    assert [type(v) for v in first.values()] == [float, str, int, bool]
    assert second == {"amount": None, "method": None, "count": None, "fresh": False}
    assert list(first) == [field.name for field in FIELDS]


@pytest.mark.parametrize(("spelling", "value"), [("null", None), ("empty", ""), ("na", "N/A")])
def test_nulls_have_spellings(spelling, value):
    assert apply("nulls", field="amount", spelling=spelling) == RECORD | {"amount": value}


def test_a_bare_nan_is_a_float():
    assert math.isnan(apply("nulls", field="amount", spelling="nan")["amount"])


def test_a_missing_key_and_a_dropped_field_are_absent():
    expected = {"amount": 12.5, "count": 3, "fresh": True}
    assert apply("nulls", field="method", spelling="missing") == expected
    assert apply("drop", field="method") == expected


def test_rename_keeps_the_place():
    assert list(apply("rename", field="method", to="payment").items())[1] == ("payment", "wallet")


def test_add_comes_last():
    assert list(apply("add", field="extra", value=1).items())[-1] == ("extra", 1)


@pytest.mark.parametrize(
    ("field", "to", "value"),
    [
        ("amount", "string", "12.5"),
        ("count", "string", "3"),
        ("method", "string", "wallet"),
        ("method", "number", 1.0),
        ("count", "number", 3.0),
        ("count", "boolean", True),
        ("fresh", "number", 1.0),
        ("amount", "list", [12.5]),
    ],
)
def test_retype_changes_the_type_alone(field, to, value):
    changed = apply("retype", field=field, to=to)[field]
    assert changed == value
    assert type(changed) is type(value)


def test_retype_of_numbers_in_text_and_of_the_unheard_of():
    assert apply("retype", RECORD | {"method": "7"}, field="method", to="number")["method"] == 7.0
    assert apply("retype", RECORD | {"method": "crypto"}, field="method", to="number")["method"] == 2.0


def test_scale_keeps_whole_numbers_whole_where_they_are():
    assert apply("scale", field="amount", by=100)["amount"] == 1250.0
    hundred, third = apply("scale", field="count", by=100)["count"], apply("scale", field="count", by=0.5)["count"]
    assert (hundred, type(hundred)) == (300, int)
    assert (third, type(third)) == (1.5, float)


def test_only_that_category_is_respelled():
    assert apply("respell", field="method", category="wallet", to="WALLET")["method"] == "WALLET"
    assert apply("respell", field="method", category="card", to="CARD") == RECORD


def test_outlier():
    assert apply("outlier", field="amount", value=1e9)["amount"] == 1e9


def test_reorder_changes_the_order_alone_and_by_its_key():
    orders = {tuple(apply("reorder", key=key)) for key in range(50)}
    assert len(orders) > 10
    assert apply("reorder", key=3) == RECORD
    assert list(apply("reorder", key=3)) == list(apply("reorder", key=3))


def test_a_verb_changes_no_record_in_place():
    before = dict(RECORD)
    for verb, params in {
        "nulls": {"field": "amount"},
        "rename": {"field": "amount", "to": "x"},
        "drop": {"field": "amount"},
        "add": {"field": "x", "value": 1},
        "retype": {"field": "amount", "to": "string"},
        "scale": {"field": "amount", "by": 2},
        "respell": {"field": "method", "category": "wallet", "to": "x"},
        "outlier": {"field": "amount", "value": 1},
        "reorder": {},
    }.items():
        assert differs(RECORD, apply(verb, key=7, **params)), verb
        assert before == RECORD
        assert list(before) == list(RECORD)


@pytest.mark.parametrize(
    ("verb", "params"),
    [
        ("nulls", {"field": "amount"}),
        ("scale", {"field": "amount", "by": 100}),
        ("retype", {"field": "amount", "to": "string"}),
        ("rename", {"field": "absent", "to": "x"}),
        ("outlier", {"field": "absent", "value": 1}),
        ("drop", {"field": "absent"}),
    ],
)
def test_where_there_is_nothing_to_change_nothing_differs(verb, params):
    record = RECORD | {"amount": None}
    assert not differs(record, apply(verb, record, **params))


def test_differences_are_those_of_the_bytes():
    assert differs({"a": 1}, {"a": 1.0})
    assert differs({"a": True}, {"a": 1})
    assert differs({"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert not differs({"a": float("nan")}, {"a": float("nan")})


def test_a_nested_field_stands_in_its_object():
    params = Event.model_validate({"event": "e", "at": 0, "nest": {"field": "amount", "under": "payment"}}).params
    assert VERBS["nest"]({"amount": 1.5, "method": "card"}, params, None, 0) == {
        "method": "card",
        "payment": {"amount": 1.5},
    }
    assert VERBS["nest"]({"method": "card"}, params, None, 0) == {"method": "card"}

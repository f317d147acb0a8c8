"""Bodies whose text is known are read by machine code: as the decoder reads them, or not at all."""

from __future__ import annotations

import json
import math
import struct

import pytest
from conftest import ROW, LinearBundle
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reference_service.api.form import Form
from reference_service.api.ordinary import Ordinary
from reference_service.validation import Validator

VALIDATOR = Validator(LinearBundle(), ("spent",))
ORDER = ("amount", "age_days", "method", "foreign", "customer")
VALUES = {
    "amount": st.floats(0, 1e5).map(repr) | st.integers(0, 10**5).map(str) | st.sampled_from(["1e3", "12.50E+1", "-0"]),
    "age_days": st.integers(0, 10_000).map(str) | st.just("null"),
    "method": st.sampled_from(["card", "wallet", "transfer"]).map(json.dumps),
    "foreign": st.sampled_from(["true", "false"]),
    "customer": st.integers(-(10**14), 10**14).map(str),
}


def text(values, name="r-1", space=""):
    tensors = ", ".join(f'{{"name": "{k}", "shape": [1], "data": [{space}{values[k]}{space}]}}' for k in ORDER)
    return f'{{"id":"{name}", "inputs":[{tensors}]}}'.encode()


USUAL = dict(zip(ORDER, ("40.0", "12", '"card"', "false", "7"), strict=True))


def form(body=None, order=ORDER):
    return Form(body or text(USUAL), [VALIDATOR.plain[name] for name in order], VALIDATOR.width)


def decoder():
    reader = Ordinary(VALIDATOR)
    reader.learn(ORDER)
    return reader._decoded


def bits(found):
    """Request id, the row's bits, and the entity with its type."""
    if found is None:
        return None
    *row, entity = found[1]
    return found[0], struct.pack(f"{len(row)}d", *row), type(entity), entity


READ, DECODED = form().read, decoder()


@given(st.fixed_dictionaries(VALUES), st.text("abcXYZ019-_ ~", max_size=40))
@settings(max_examples=500, deadline=None)
def test_it_reads_every_value_to_the_last_bit_as_the_decoder_does(values, name):
    body = text(values, name)
    assert bits(READ(body)) == bits(DECODED(body)) is not None


@given(st.data())
@settings(max_examples=1500, deadline=None)
def test_whatever_is_done_to_a_body_it_is_read_alike_or_not_at_all(data):
    body = bytearray(text(data.draw(st.fixed_dictionaries(VALUES))))
    for _ in range(data.draw(st.integers(1, 3))):
        where = data.draw(st.integers(0, len(body) - 1))
        what = data.draw(st.sampled_from(b'0159-+.eE"\\,:[]{} \tnulltruefalse\x00\x1f\x7f\xc3\xff'))
        match data.draw(st.sampled_from(["replaced", "inserted", "cut", "doubled", "ended"])):
            case "replaced":
                body[where] = what
            case "inserted":
                body.insert(where, what)
            case "cut":
                del body[where]
            case "doubled":
                body[where:where] = body[where : where + 3]
            case _:
                del body[max(1, where) :]
        if not body:
            return
    found = READ(bytes(body))
    if found is not None:
        assert bits(found) == bits(DECODED(bytes(body)))


@given(st.integers(0, 10**25), st.integers(-330, 20))
@example(9007199254740993, 0)  # no float64: between two of them
@example(1, -324)
@example(17976931348623157, 5)
@settings(max_examples=500, deadline=None)
def test_a_number_is_the_nearest_float_however_many_digits_it_has(digits, power):
    number = f"{digits}e{power}"
    found = READ(text({**USUAL, "amount": number}))
    if float(number) > 1e5:
        assert found is None
    else:
        assert found[1][0] == float(number)


@pytest.mark.parametrize(
    "number",
    [
        f"1e{'0' * 25}1",
        f"1e-{'0' * 25}1",
        f"1e{'0' * 17}3",
        f"0.{'0' * 25}1e26",
        f"1{'0' * 30}e-28",
        "0e9999999999999999999",
    ],
)
def test_no_zero_is_too_many(number):
    assert READ(text({**USUAL, "amount": number}))[1][0] == float(number)


@pytest.mark.parametrize(
    ("field", "odd"),
    [("amount", "00"), ("amount", "01"), ("amount", ".5"), ("amount", "5."), ("amount", "1e"), ("amount", "+1"),
     ("amount", "-"), ("amount", "0x1"), ("amount", "NaN"), ("amount", "1e999"), ("amount", "-1"), ("amount", "null"),
     ("amount", "100000.00000000001"), ("amount", '"12"'), ("amount", "true"), ("amount", ""), ("amount", "1_0"),
     ("age_days", "1.0"), ("age_days", "1e2"), ("age_days", "10001"), ("age_days", "nul"), ("age_days", "nulL"),
     ("age_days", "9" * 30), ("method", '"cheque"'), ("method", '"car"'), ("method", '"cards"'), ("method", '"card'),
     ("method", "card"), ("method", "null"), ("method", '"c\\u0061rd"'), ("foreign", "1"), ("foreign", "True"),
     ("foreign", "tru"), ("foreign", "falsE"), ("customer", "null"), ("customer", '"7"'), ("customer", "7.0")],
)  # fmt: skip
def test_what_is_odd_is_somebody_elses(field, odd):
    assert READ(text({**USUAL, field: odd})) is None


def test_another_text_is_another_form():
    body = text(USUAL)
    assert READ(body) is not None
    assert READ(body + b" ") is None
    assert READ(body[:-1]) is None
    assert READ(body.replace(b"[1]", b"[2]", 1)) is None
    assert READ(body.replace(b'"amount"', b'"amounts"')) is None
    assert READ(body.replace(b'"id"', b'"outputs":[],"id"')) is None
    assert READ(text(USUAL, space=" ")) is None
    assert form(text(USUAL, space=" ")).read(text({**USUAL, "amount": "3"}, space=" "))[1][0] == 3.0
    assert READ(text(USUAL, "é")) is None  # whether this is UTF-8 is not for it to say
    assert READ(text(USUAL, "x" * 900)) is not None
    assert READ(text(USUAL, "x" * 9_000)) is None  # longer than there is room for


def test_a_body_without_an_id_has_a_form_as_well():
    body = text(USUAL).replace(b'"id":"r-1", ', b"")
    assert form(body).read(body) == ("", pytest.approx([40.0, 12.0, 0.0, 0.0, math.nan, 7], nan_ok=True))


@pytest.mark.parametrize(
    "body",
    [text(USUAL).replace(b"r-1", b"r\\u002d1"), text(USUAL).replace(b'"inputs"', b'"id":"r-2", "inputs"'),
     text(USUAL).replace(b'"data": [40.0]', b'"data": [1], "data": [40.0]')],
)  # fmt: skip
def test_of_escapes_and_of_keys_that_come_twice_it_makes_no_form(body):
    assert DECODED(body) is not None
    with pytest.raises(ValueError, match=r"escapes|twice"):
        form(body)


def test_the_reader_learns_the_form_of_what_the_decoder_read_and_not_for_ever(monkeypatch):
    made = []
    monkeypatch.setattr(Ordinary, "_learn_form", lambda self, *found: made.append(found) or learn(self, *found))
    reader = Ordinary(VALIDATOR)
    reader.learn(ORDER)
    for _ in range(100):
        assert bits(reader.read(text(USUAL))) == bits(DECODED(text(USUAL)))
    assert len(made) == 1
    for turn in range(100):  # a client that writes every body eight times in a way of its own
        for _ in range(8):
            body = text(USUAL, space=" " * (1 + turn))
            assert bits(reader.read(body)) == bits(DECODED(body))
    assert len(made) == 16


learn = Ordinary._learn_form


def test_the_row_of_the_fixture_is_read_like_this():
    assert READ(text(USUAL)) == ("r-1", pytest.approx([40.0, 12.0, 0.0, 0.0, math.nan, 7], nan_ok=True))
    assert ROW["customer"] == 7

"""What a client sends under a key that it has used before: the same, or another request by one value alone."""

from __future__ import annotations

import json

import pytest

from simulator.drivers.one_value import with_one_value_of

ONE = b'{"id":"r-1","inputs":[{"name":"a","shape":[1],"data":[1.5]},{"name":"b","shape":[1],"data":["x"]}]}'
TWO = ONE.replace(b"r-1", b"r-2").replace(b"1.5", b"-2e3").replace(b'"x"', b"null")


@pytest.mark.parametrize(("turn", "value"), [(0, b"-2e3"), (1, b"null"), (2, b"-2e3")])
def test_one_value_is_another_one_and_every_other_byte_is_as_it_was(turn, value):
    old = b"1.5" if turn % 2 == 0 else b'"x"'
    found = with_one_value_of(ONE, TWO, turn, (b"r-1", b"r-2"))
    assert found == ONE.replace(old, value)
    assert json.loads(found)["id"] == "r-1"


def test_where_nothing_can_be_exchanged_the_whole_is_another_one():
    longer = TWO.replace(b'"data":[-2e3]', b'"data":[-2e3,4]')
    assert with_one_value_of(ONE, longer, 0, (b"r-1", b"r-2")) == longer
    alike = ONE.replace(b"r-1", b"r-3")
    assert with_one_value_of(ONE, alike, 0, (b"r-1", b"r-3")) == alike

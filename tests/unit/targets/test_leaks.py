"""What an error reply shows that it should not, and what it should."""

from __future__ import annotations

import pytest

from simulator.targets.leaks import INTERNALS, NOTHING, SILENT, VALUES, leak

SENT = b'{"inputs":[{"name":"amount","data":[1234.5]},{"name":"merchant","data":["jewellery"]}]}'


@pytest.mark.parametrize(
    ("reply", "shown"),
    [
        (b'{"error":"amount is out of range"}', NOTHING),
        (b"amount is out of range", NOTHING),
        (b'{"errors":[{"row":0,"reason":"x"}]}', NOTHING),
        (b'{"error":"1234.5 is out of range"}', VALUES),
        (b'{"error":"jewellery is unknown"}', VALUES),
        (b'{"error":"Traceback (most recent call last)"}', INTERNALS),
        (b"", SILENT),
        (b"  ", SILENT),
        (b"{}", SILENT),
        (b"null", SILENT),
        (b'{"error":"","errors":[{"row":0}]}', SILENT),
    ],
)
def test_what_a_refusal_shows(reply, shown):
    assert leak(SENT, reply, explains=True) == shown
    assert leak(SENT, reply) == (NOTHING if shown == SILENT else shown)  # an error of a server need not say why

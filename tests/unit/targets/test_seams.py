"""What seams do to calls, and that they count it."""

from __future__ import annotations

import asyncio
import errno
import math

import pytest

from simulator.targets.seams import OFF, Fault, Injected, Seam


def broken(kind, call, **how):
    seam = Seam("model", 1)
    wrapped = seam.wrap(call)
    seam.break_with(Fault("e", kind, **how))
    return seam, wrapped


def test_every_call_is_counted_with_or_without_a_fault():
    seam, call = broken("nan", lambda _: 1.0, first="v2")
    assert [call("v1"), call("v1")] == [1.0, 1.0]
    assert math.isnan(call("v2"))
    seam.heal()
    assert call("v2") == 1.0
    receipt = seam.receipts["e"]
    assert (seam.calls, receipt.seen, receipt.taken, receipt.potent) == (4, 1, 1, 1)


def test_a_model_that_is_off_is_off_by_little_whether_it_answers_at_once_or_later():
    async def later(_):
        return 2.0

    seam, call = broken("off", lambda _: 2.0)
    assert call("v1") == 2.0 + OFF
    _, call = broken("off", later)
    assert asyncio.run(call("v1")) == 2.0 + OFF
    assert seam.receipts["e"].potent == 1


def test_a_full_disk_is_an_operating_systems_error():
    _, call = broken("full", lambda *_: None)
    with pytest.raises(OSError, match="no space left") as raised:
        call(b"records", b"payloads")
    assert raised.value.errno == errno.ENOSPC


def test_down_is_a_connection_error():
    _, call = broken("down", lambda *_: None)
    with pytest.raises(Injected, match="the event e"):
        call()

from __future__ import annotations

import json

import numpy as np
import pytest

from simulator.plan import plan
from simulator.scenario.model import Scenario
from simulator.targets.bodies import garbled
from simulator.targets.rows import spans
from simulator.world.chunk import joined
from simulator.world.populations import get

BODY = json.dumps({"id": "main-0", "inputs": [{"name": "amount", "data": [1.5]}]}).encode()


def made(how, **params):
    cell = Scenario.model_validate(
        {
            "seatrial": 1, "title": "t", "seed": 1,
            "given": {"population": "payments", "traffic": {"rate": "20/s", "for": "10s", "batch": 3}},
            "when": [{"event": "bad", "at": "2s", "garble": {"how": how, "share": 0.5, **params}}],
        }
    )  # fmt: skip
    chunk = joined(list(plan(cell, get("payments"))))
    where = spans(chunk)
    touched = [bool(chunk.touched[first]) for first, _ in where]
    np.testing.assert_array_equal(chunk.touched != 0, np.repeat(touched, [b - a for a, b in where]))
    return touched, garbled([BODY] * len(where), chunk, [(0, cell.when[0].garble)])


@pytest.mark.parametrize("how", ["truncated", "not_json", "oversized"])
def test_only_the_bodies_of_touched_requests_change(how):
    touched, bodies = made(how)
    assert any(touched)
    assert [body != BODY for body in bodies] == touched


@pytest.mark.parametrize("how", ["truncated", "not_json"])
def test_what_is_cut_off_or_no_json_cannot_be_read(how):
    touched, bodies = made(how)
    with pytest.raises(json.JSONDecodeError):
        json.loads(bodies[touched.index(True)])


def test_what_is_too_large_says_the_same():
    touched, bodies = made("oversized", size=100_000)
    body = bodies[touched.index(True)]
    assert len(body) == 100_000
    assert json.loads(body) == json.loads(BODY)

"""The labels that quality waits for are those that can come, whoever answered, how often, and whenever they do."""

from __future__ import annotations

import pytest
from conftest import ROW, SECOND, run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_control import label
from test_release import start

NOBODY, BEYOND = 500, 1 << 40  # customers from here on are not in the store; an interval after all
STEP = st.sampled_from(
    ["ask", "ask twice", "ask for more", "keyed", "keyed twice", "tick", "wait", "label", "label twice"]
)
STEPS = st.lists(
    st.tuples(STEP, st.integers(0, 999), st.sampled_from([10.0, 60.0, 150.0, 250.0]), st.integers(1, 3)), max_size=40
)


def store(call):
    def through(entity, now_ns):
        if entity >= NOBODY:
            raise OSError
        return call(entity, now_ns)

    return through


async def lived(h, steps, ab):
    """Carry out the steps; the (request, row) that were decided and have no label yet."""
    open_, serial = [], 0
    if ab:
        assert (await start(h, by="ab"))[0] == 202
    for what, customer, amount, rows in steps:
        if what == "tick":
            h.tick()
        elif what == "wait":
            await h.clock.advance(customer * SECOND // 10)
        elif what.startswith("label"):
            for _ in range(2 if what == "label twice" else 1):
                await label(h, *((request, row, customer % 2) for request, row in open_[:rows]))
            del open_[:rows]
        else:
            serial += 1
            request = f"r{serial}"
            key = [(b"idempotency-key", request.encode())] if what.startswith("keyed") else []
            asked = [{**ROW, "customer": customer, "amount": amount, "foreign": k % 2 == 1} for k in range(rows)]
            for again in range(1 if what in {"ask", "keyed"} else 2):
                more = asked * (1 + again) if what == "ask for more" else asked
                assert (await h.infer(*more, request_id=request, headers=key))[0] == 200
            open_ += [(request, row) for row in range(rows)]
    return open_


@pytest.mark.parametrize("ab", [False, True])
@given(steps=STEPS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_more_labels_come_than_are_due_and_no_fewer_once_all_are_there(harness, ab, steps):
    async def body():
        h = harness({"feature_store": store}, policy={"explore_share": 0.5})
        waiting = await lived(h, steps, ab)
        await h.clock.advance(h.service.policy.cohort_ns)  # decisions are counted when their interval has ended
        h.tick()
        due, come = h.service.cohorts._due.before(BEYOND)
        assert (come <= due).all()
        await label(h, *((request, row, 0) for request, row in waiting))
        due, come = h.service.cohorts._due.before(BEYOND)
        assert come.tolist() == due.tolist()

    run(body())

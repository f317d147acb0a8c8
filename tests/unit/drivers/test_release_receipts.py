"""A shadow answers nobody, so only the seam can tell that it was asked (S7)."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from histories import columns, run, scenario
from specimens import SPECIMENS

from simulator.drivers.incidents import Incidents as InRealTime
from simulator.drivers.operators import action_of, delivered
from simulator.drivers.receipts import ServiceReceipt, realise
from simulator.drivers.virtual.incidents import Incidents as InVirtualTime
from simulator.scenario.quantities import MINUTE, SECOND
from simulator.scenario.verbs import Event
from simulator.targets.model import Admin
from simulator.targets.seams import Fault, Seam


def test_calls_of_a_watched_version_are_counted_and_left_alone():
    seam = Seam("model", 1)
    call = seam.wrap(lambda version, x: (version, x))
    seam.watch("trial", "v2")
    assert [call(version, 3) for version in ("v1", "v2", "v2")] == [("v1", 3), ("v2", 3), ("v2", 3)]
    assert seam.receipts["trial"].potent == 2
    assert not seam.broken


def test_a_watch_and_a_fault_do_not_meet():
    seam = Seam("model", 1)
    call = seam.wrap(lambda version: version)
    seam.watch("trial", "v2")
    seam.break_with(Fault("outage", "raise", first="v1"))
    assert call("v2") == "v2"
    assert (seam.receipts["trial"].potent, seam.receipts["outage"].potent) == (1, 0)


@pytest.mark.parametrize("asked", [0, 1])
def test_a_shadow_that_was_not_asked_is_impotent_and_one_that_was_ends_as_declared(asked):
    world = scenario(when=SPECIMENS["shadow"].when)
    (record,) = realise(world, run(columns()), {"e": ServiceReceipt(600 * SECOND, 1, 1, asked)}, 1800 * SECOND, {})
    assert (record.potent, record.end_ns) == (asked, 1200 * SECOND)


ADMIN = Admin(promote="POST /promote", rollback="POST /back", freeze="PUT /freeze")


@pytest.mark.parametrize(
    ("operator", "length", "action", "body"),
    [
        ({"does": "promote"}, None, "POST /promote", b"{}"),
        ({"does": "rollback"}, None, "POST /back", b"{}"),
        ({"does": "rollback", "version": "v1"}, None, "POST /back", b'{"to":"v1"}'),
        ({"does": "freeze", "version": "v2"}, None, "PUT /freeze", b'{"version":"v2","seconds":1800.0}'),
        ({"does": "freeze", "version": "v2"}, 5 * MINUTE, "PUT /freeze", b'{"version":"v2","seconds":300.0}'),
    ],
)
def test_an_operators_event_is_one_request(operator, length, action, body):
    event = Event.model_validate({"event": "e", "at": "1m", "operator": operator}).model_copy(update={"length": length})
    assert action_of(event, ADMIN) == (action, body)


@pytest.mark.parametrize(("bundle", "status", "done"), [
    ("sound", 202, True), ("sound", 422, False), ("damaged", 422, True), ("skewed", 422, True), ("skewed", 404, False),
    ("skewed", 500, False), ("damaged", 401, False), ("damaged", 404, False), ("damaged", 405, False),
])  # fmt: skip
def test_a_bundle_that_is_to_be_refused_must_have_been_looked_at(bundle, status, done):
    world = scenario(when=[{"event": "e", "at": "10m", "release": {"version": "v4", "bundle": bundle}}])
    assert delivered(world.when[0], status, world) is done


BACK = {"event": "e", "at": "10m", "operator": {"does": "promote"}}
REFUSES = {"id": "frozen", "refuses": {"version": "v2"}, "after": "e", "within": "5m"}


@pytest.mark.parametrize("then", [[], [REFUSES]])
@pytest.mark.parametrize("status", [0, 100, 202, 302, 404, 409, 503])
@pytest.mark.parametrize("admin", [ADMIN, Admin()])
def test_both_drivers_give_an_operators_event_the_same_receipt(admin, status, then):
    world = scenario(*then, when=[BACK])

    async def call(*_):
        return status, b"{}"

    def note(*_, **__):
        pass

    spec = SimpleNamespace(scenario=world, target=SimpleNamespace(admin=admin))
    common = {"spec": spec, "sending": True, "seams": {}, "token": "", "note": note}
    virtual = InVirtualTime(
        SimpleNamespace(**common, life=SimpleNamespace(call=call), loop=SimpleNamespace(now_ns=600 * SECOND)), None
    )
    recorder, receipts = SimpleNamespace(note=note), {}
    live = InRealTime(
        SimpleNamespace(**common, call=call, now=lambda: 600 * SECOND, until=None, service=None, recorder=recorder),
        receipts,
    )
    asyncio.run(virtual._operate(world.when[0]))
    asyncio.run(live._operate(world.when[0]))
    assert virtual.receipts() == receipts
    done = admin is ADMIN and (status == 202 or (bool(then) and status == 409))
    assert (receipts["e"].delivered, receipts["e"].supported) == (done, admin is ADMIN)


def test_what_the_target_file_does_not_name_cannot_be_done():
    event = Event.model_validate({"event": "e", "at": "1m", "operator": {"does": "promote"}})
    assert action_of(event, Admin())[0] is None

"""Dependencies, deadline, load, alerts and quarantine of the composed service."""

from __future__ import annotations

import asyncio
import json
import math

import pytest
from conftest import MINUTE, ROW, SECOND, encode, plain, run

MS = SECOND // 1000


def broken(_call):
    def call(*_):
        raise ConnectionError

    return call


def slow(clock_of, ns):
    """A dependency that answers after `ns` of the harness' clock."""

    def wrap(call):
        async def later(*args):
            await clock_of().advance(ns)
            return call(*args)

        return later

    return wrap


# ---------------------------------------------------------------- many rows


def test_the_rows_of_a_request_are_scored_together_and_as_if_alone(harness, monkeypatch):
    async def body():
        h = harness()
        rows = [plain(k) for k in range(5)]
        alone = [await h.one(row) for row in rows]
        # From here on only the call for many rows is left.
        monkeypatch.setattr(h.service.releases.champion.model, "call", None)
        _, reply = await h.infer(*rows)
        outputs = {output["name"]: output["data"] for output in reply["outputs"]}
        names = ("source", "reasons", "score", "decision")
        assert list(zip(*(outputs[name] for name in names), strict=True)) == alone

    run(body())


# ---------------------------------------------------------------- dependencies


def test_a_feature_store_that_is_down_is_answered_by_the_declared_heuristic(harness):
    async def body():
        h = harness({"feature_store": broken})
        source, reasons, score, _ = await h.one({**ROW, "method": "wallet"})
        assert (source, reasons, score) == ("fallback", "dependency:feature_store", 0.2)
        assert (await h.one({**ROW, "method": None}))[2] == 0.15

    run(body())


def test_a_stale_answer_is_no_answer(harness):
    def stale(call):
        return lambda entity, now_ns: call(entity, now_ns - 3 * 60 * MINUTE)

    async def body():
        h = harness({"feature_store": stale})
        assert (await h.one(ROW))[:2] == ("fallback", "stale:feature_store")

    run(body())


def test_an_answer_that_is_awaited_is_as_good_as_one_that_is_there(harness):
    def later(call):
        async def answer(*args):
            await asyncio.sleep(0)
            return call(*args)

        return answer

    async def body():
        h = harness({"feature_store": later, "model": later})
        assert await h.one(ROW) == await harness().one(ROW)
        rows = [{**ROW, "customer": k, "amount": float(k)} for k in range(10)]
        assert (await h.infer(*rows))[1]["outputs"] == (await harness().infer(*rows))[1]["outputs"]

    run(body())


@pytest.mark.parametrize(("fault", "reason"), [(math.nan, "model:nan"), (math.inf, "model:nan"), (None, "model:nan")])
def test_a_score_that_is_no_number_never_leaves_the_service(harness, fault, reason):
    async def body():
        h = harness({"model": lambda _: lambda *_: fault})
        source, reasons, score, _ = await h.one(ROW)
        assert (source, reasons, score) == ("fallback", reason, 0.1)

    run(body())


def test_a_model_that_raises_is_answered_by_fallback(harness):
    async def body():
        h = harness({"model": broken})
        assert (await h.one(ROW))[:2] == ("fallback", "model:error")

    run(body())


def test_fallback_ends_with_the_outage(harness):
    async def body():
        down = [True]

        def outage(call):
            def answer(*args):
                if down[0]:
                    raise ConnectionError
                return call(*args)

            return answer

        h = harness({"feature_store": outage})
        for _ in range(40):
            assert (await h.one(ROW))[0] == "fallback"
        down[0] = False
        assert (await h.one(ROW))[0] == "fallback"  # the breaker is open
        await h.clock.advance(7 * SECOND)
        assert [(await h.one(ROW))[0] for _ in range(10)] == ["model"] * 10

    run(body())


# ---------------------------------------------------------------- deadline


def test_a_dependency_slower_than_the_deadline_is_given_up(harness):
    async def body():
        def hang(_call):
            async def never(*_):
                await asyncio.get_running_loop().create_future()

            return never

        h = harness({"feature_store": hang}, policy={"deadline_ns": 20 * MS})
        assert (await h.one(ROW))[:2] == ("fallback", "dependency:feature_store")
        h = harness({"model": hang}, policy={"deadline_ns": 20 * MS})
        assert (await h.one(ROW))[:2] == ("fallback", "model:timeout")

    run(body())


def test_time_in_the_queue_counts(harness):
    async def body():
        h = harness()
        late = await h.one(ROW, before=lambda: h.clock.advance(250 * MS))
        assert late[:2] == ("fallback", "deadline")
        h = harness()
        just = await h.one(ROW, before=lambda: h.clock.advance(250 * MS - 1))
        assert just[:2] == ("model", "")

    run(body())


def test_what_the_store_took_is_missing_for_the_model(harness):
    async def body():
        clocks = []
        h = harness({"feature_store": slow(lambda: clocks[0], 260 * MS)})
        clocks.append(h.clock)
        assert (await h.one(ROW))[:2] == ("fallback", "deadline")

    run(body())


def test_a_slow_upload_is_not_the_services_delay(harness):
    async def body():
        h = harness()
        body = encode([ROW], "slow")
        halves = [body[:100], body[100:]]
        status, reply = await h.call(
            "POST", "/v2/models/payments/infer", chunks=halves, before=lambda: h.clock.advance(200 * MS)
        )
        assert status == 200
        assert json.loads(reply)["outputs"][2]["data"] == ["model"]

    run(body())


def test_without_fallback_a_failure_is_503_and_a_missed_deadline_504(harness):
    async def body():
        h = harness({"feature_store": broken}, safeguards={"fallback": False})
        assert (await h.infer(ROW))[0] == 503
        h = harness(safeguards={"fallback": False})
        status, reply = await h.infer(ROW, before=lambda: h.clock.advance(SECOND))
        assert status == 504
        assert reply["errors"] == []

    run(body())


# ---------------------------------------------------------------- load and limits


def test_beyond_the_limit_requests_are_shed_at_once_and_say_when_to_come_back(harness):
    async def body():
        h = harness(policy={"max_in_flight": 2})
        gate = asyncio.get_running_loop().create_future()

        async def wait():
            await asyncio.shield(gate)

        held = [asyncio.create_task(h.infer(ROW, before=wait)) for _ in range(2)]
        await asyncio.sleep(0)
        status, _ = await h.call("POST", "/v2/models/payments/infer", encode([ROW]))
        assert status == 429
        assert h.headers[b"retry-after"] == b"1"
        gate.set_result(None)
        assert [status for status, _ in await asyncio.gather(*held)] == [200, 200]
        assert (await h.infer(ROW))[0] == 200
        assert h.service.limiter.in_flight == h.service.limiter.waiting == 0

    run(body())


def test_a_body_or_a_batch_beyond_its_limit_is_413(harness):
    async def body():
        h = harness(policy={"body_limit": 1000, "row_limit": 3})
        assert (await h.call("POST", "/v2/models/payments/infer", b" " * 1001))[0] == 413
        parts = [b" " * 600, b" " * 600]
        assert (await h.call("POST", "/v2/models/payments/infer", chunks=parts))[0] == 413
        h = harness(policy={"row_limit": 3})
        assert (await h.infer(*[ROW] * 4))[0] == 413
        assert (await h.infer(*[ROW] * 3))[0] == 200

    run(body())


# ---------------------------------------------------------------- alerts


def test_a_null_burst_is_told_once_at_the_first_tick_on_every_route_and_resolved_afterwards(harness):
    async def body():
        h = harness()
        await h.traffic(20, plain)
        assert h.alerts() == []
        await h.traffic(60, lambda k: {**plain(k), "amount": None})
        assert [a["labels"]["field"] for a in h.alerts(name="null_rate")] == ["amount"]
        await h.traffic(90, plain)
        told = h.alerts()
        assert [(a["labels"]["alertname"], a["status"]) for a in told] == [
            ("null_rate", "firing"),
            ("null_rate", "resolved"),
        ]
        assert len({a["fingerprint"] for a in told}) == 1
        pager = [b for route, b in h.sent if route == "pagerduty" and b["payload"]["severity"] != "info"]
        chat = [b["metadata"]["event_payload"] for route, b in h.sent if route == "slack"]
        chat = [e for e in chat if e["alertname"] != "Watchdog"]
        assert [b["event_action"] for b in pager] == ["trigger", "resolve"]
        assert [e["status"] for e in chat] == ["firing", "resolved"]
        assert {b["dedup_key"] for b in pager} == {e["fingerprint"] for e in chat} == {told[0]["fingerprint"]}

    run(body())


def test_the_heartbeat_comes_each_minute_on_each_route(harness):
    async def body():
        h = harness()
        for _ in range(19):  # three minutes of ticks, both ends included
            h.tick()
            await h.clock.advance(10 * SECOND)
        beats = [route for route, b in h.sent if "Watchdog" in json.dumps(b)]
        assert {route: beats.count(route) for route in beats} == {"alertmanager": 4, "slack": 4, "pagerduty": 4}

    run(body())


def test_what_could_not_be_sent_is_sent_later_in_order(harness):
    async def body():
        h = harness()
        h.down = True
        await h.traffic(20, lambda k: {**plain(k), "amount": None})
        await h.traffic(90, plain)
        await h.clock.advance(5 * SECOND)
        assert h.sent == []
        h.down = False
        h.tick()
        await h.clock.advance(5 * SECOND)
        assert [a["status"] for a in h.alerts(name="null_rate")] == ["firing", "resolved"]

    run(body())


def test_a_receiver_that_hangs_blocks_no_request(harness):
    async def body():
        h = harness()
        gate = asyncio.get_running_loop().create_future()

        async def hang(*_, **__):
            await gate

        h.service.routes._post._client.post = hang
        await h.traffic(30, lambda k: {**plain(k), "amount": None})
        assert (await h.infer(ROW))[0] == 200
        await h.service.routes.close()

    run(body())


def test_an_in_range_unit_change_is_told_and_contained_and_released(harness):
    async def body():
        h = harness(policy={"window_ns": 20 * SECOND, "drift_rows": 150})
        await h.traffic(40, plain)
        cents = lambda k: {**plain(k), "amount": plain(k)["amount"] / 100}  # noqa: E731
        assert (await h.one(cents(1)))[0] == "model"
        await h.traffic(60, cents)
        assert [a["status"] for a in h.alerts(name="feature_drift")] == ["firing"]
        source, reasons, score, _ = await h.one({**ROW, "amount": 0.4})
        assert (source, reasons) == ("default", "quarantine:amount")
        assert score == (await harness().one({**ROW, "amount": 50.0}))[2]
        await h.traffic(100, plain)
        assert [a["status"] for a in h.alerts(name="feature_drift")] == ["firing", "resolved"]
        assert (await h.one(ROW))[:2] == ("model", "")

    run(body())


def test_a_quarantine_by_fallback_is_no_fallback_alert(harness):
    async def body():
        h = harness(policy={"window_ns": 20 * SECOND, "drift_rows": 150})
        await h.traffic(100, lambda k: {**plain(k), "method": "transfer"})
        assert (await h.one(ROW))[:3] == ("fallback", "quarantine:method", 0.1)
        assert h.alerts(name="fallback_rate") == []

    run(body())


def test_a_few_nulls_do_not_put_the_honest_rows_into_quarantine(harness):
    async def body():
        h = harness()
        await h.traffic(60, lambda k: {**plain(k), "amount": None} if k % 5 == 0 else plain(k))
        assert [a["labels"]["alertname"] for a in h.alerts()] == ["null_rate"]
        assert (await h.one(ROW))[:2] == ("model", "")

    run(body())


def test_monitors_count_what_was_received_and_not_the_default(harness):
    async def body():
        h = harness()
        for k in range(100):
            await h.infer({**plain(k), "amount": None})
        h.tick()
        assert h.service.watch.inputs.view()["amount"]["null_rate"] == 1.0

    run(body())


@pytest.mark.parametrize(
    ("change", "name", "field"),
    [
        (lambda r: {("euros" if n == "amount" else n): v for n, v in r.items()}, "schema_change", "amount"),
        (lambda r: {("euros" if n == "amount" else n): v for n, v in r.items()}, "schema_change", "euros"),
        (lambda r: {**r, "euros": 1.0}, "schema_change", "euros"),
        (lambda r: {**r, "amount": str(r["amount"])}, "invalid_rate", "amount"),
        (lambda r: {**r, "amount": -r["amount"] - 1}, "invalid_rate", "amount"),
        (lambda r: {**r, "method": "cheque"}, "unseen_category", "method"),
    ],
)
def test_each_fault_of_the_data_is_named_at_the_next_tick(harness, change, name, field):
    async def body():
        h = harness()
        await h.traffic(30, plain)
        assert h.alerts() == []
        await h.traffic(10, lambda k: change(plain(k)))
        assert field in [a["labels"]["field"] for a in h.alerts(name=name)]
        assert h.alerts(name="feature_drift") == []

    run(body())


def test_a_wrong_type_is_not_told_as_null(harness):
    async def body():
        h = harness()
        await h.traffic(30, lambda k: {**plain(k), "amount": "12.5"})
        assert {a["labels"]["alertname"] for a in h.alerts()} == {"invalid_rate"}

    run(body())


def test_half_a_percent_of_typos_disturbs_nobody(harness):
    async def body():
        h = harness()
        await h.traffic(300, lambda k: {**plain(k), "method": "crad"} if k % 200 == 0 else plain(k))
        assert h.alerts() == []

    run(body())


def test_a_dependency_that_is_down_is_told_and_ends(harness):
    async def body():
        down = [False]

        def outage(call):
            def answer(*args):
                if down[0]:
                    raise ConnectionError
                return call(*args)

            return answer

        h = harness({"feature_store": outage})
        await h.traffic(30, plain)
        down[0] = True
        await h.traffic(20, plain)
        assert {(a["labels"]["alertname"], a["labels"]["field"]) for a in h.alerts()} == {
            ("dependency_down", "feature_store"),
            ("fallback_rate", ""),
        }
        down[0] = False
        await h.traffic(120, plain)
        assert sorted(a["status"] for a in h.alerts(name="dependency_down")) == ["firing", "resolved"]
        assert h.alerts(name="null_rate") == []  # stored fields that were not received are not nulls

    run(body())


def test_shedding_is_told(harness):
    async def body():
        h = harness()
        h.service.limiter._max = 0
        for _ in range(50):
            assert (await h.infer(ROW))[0] == 429
        h.tick()
        await h.clock.advance(SECOND)
        assert [a["labels"]["alertname"] for a in h.alerts()] == ["load_shedding"]

    run(body())


def test_without_alerts_everything_is_counted_nobody_is_told_and_nothing_is_distrusted(harness):
    async def body():
        h = harness(safeguards={"alerts": False}, policy={"window_ns": 20 * SECOND, "drift_rows": 150})
        await h.traffic(100, lambda k: {**plain(k), "amount": plain(k)["amount"] / 100})
        assert h.alerts() == []
        assert h.service.watch.inputs.view()["amount"]["state"] == "drift"
        assert (await h.one(ROW))[0] == "model"
        assert any("Watchdog" in json.dumps(b) for _, b in h.sent)

    run(body())

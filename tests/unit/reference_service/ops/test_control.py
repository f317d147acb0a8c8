"""Labels, log, operators' views and the lifespan."""

from __future__ import annotations

import asyncio
import json

import pytest
from conftest import MINUTE, ROW, SECOND, START, HandClock, plain, run

from reference_service.app import create_app
from reference_service.audit.records import Decision
from reference_service.monitor.labels import Ledger
from reference_service.policy import PolicyError, read
from reference_service.settings import SettingsError
from reference_service.settings import read as read_settings


async def label(h, *labels):
    body = json.dumps({"labels": [{"id": i, "row": r, "label": y} for i, r, y in labels]}).encode()
    status, reply = await h.call("POST", "/v1/labels", body)
    assert status == 202
    return tuple(json.loads(reply).values())


async def get(h, path):
    status, reply = await h.call("GET", path)
    assert status == 200
    return json.loads(reply)


# ---------------------------------------------------------------- labels


def test_a_label_is_counted_once_and_what_nobody_decided_is_unknown(harness):
    async def body():
        h = harness()
        await h.infer(ROW, {**ROW, "foreign": None}, request_id="a")
        assert await label(h, ("a", 0, 1), ("a", 0, 1), ("a", 1, 1), ("a", 2, 1), ("b", 0, 0)) == (1, 1, 3)

    run(body())


def test_a_request_that_is_delivered_twice_is_one_decision(harness):
    async def body():
        h = harness()
        for _ in range(2):
            await h.infer(ROW, ROW, request_id="a")
            await h.infer(ROW, request_id="b")
        assert len(h.service.ledger) == 3
        assert await label(h, ("a", 1, 1), ("b", 0, 0)) == (2, 0, 0)

    run(body())


def test_quality_is_told_of_matured_cohorts_only_and_agrees_with_the_truth(harness):
    async def body():
        h = harness(policy={"label_horizon_ns": 60 * MINUTE})
        truth = []
        for k in range(200):
            _, reply = await h.infer(plain(k), request_id=f"r-{k}")
            score, y = reply["outputs"][0]["data"][0], int(k % 10 == 0)
            truth.append((score, y))
            await label(h, (f"r-{k}", 0, y))
        assert (await get(h, "/v1/quality"))["n"] == 0
        await h.clock.advance(62 * MINUTE)
        quality = await get(h, "/v1/quality")
        assert quality["n"] == 200
        assert quality["positive_rate"] == 0.1
        assert quality["brier"] == pytest.approx(sum((s - y) ** 2 for s, y in truth) / 200, abs=1e-5)
        assert quality["matured_before_ns"] <= quality["as_of_ns"] - 60 * MINUTE

    run(body())


def test_concept_drift_is_told_once_labels_have_matured_and_not_before(harness):
    async def body():
        h = harness(policy={"label_horizon_ns": 10 * MINUTE})
        for k in range(300):
            _, reply = await h.infer(plain(k), request_id=f"r-{k}")
            await label(h, (f"r-{k}", 0, int(reply["outputs"][0]["data"][0] < 0.5)))
        await h.clock.advance(9 * MINUTE)
        h.tick()
        await h.clock.advance(SECOND)
        assert h.alerts() == []
        await h.clock.advance(3 * MINUTE)
        h.tick()
        await h.clock.advance(SECOND)
        assert [a["labels"]["alertname"] for a in h.alerts()] == ["concept_drift"]

    run(body())


@pytest.mark.parametrize(("wrong", "told"), [("v2", []), ("v1", ["concept_drift"])])
def test_concept_drift_is_of_the_version_that_serves(harness, wrong, told):
    """The other arm of an A/B test is for its judge to speak of, and no reason to retrain the champion."""

    async def body():
        h = harness(policy={"label_horizon_ns": 10 * MINUTE}, safeguards={"rollback": False})
        assert (await h.call("POST", "/v1/releases", b'{"version":"v2","by":"ab","share":0.5}'))[0] == 202
        for k in range(600):
            safe = {**plain(k), "amount": 0.0, "method": "transfer", "foreign": False}  # a score of .12
            _, reply = await h.infer(safe, request_id=f"r-{k}")
            await label(h, (f"r-{k}", 0, int(reply["model_version"] == wrong)))
        await h.clock.advance(12 * MINUTE)
        h.tick()
        await h.clock.advance(SECOND)
        assert [a["labels"]["alertname"] for a in h.alerts(name="concept_drift")] == told

    run(body())


def test_what_the_version_before_got_wrong_is_no_drift_of_the_next_one(harness):
    async def body():
        h = harness(policy={"label_horizon_ns": 10 * MINUTE})
        for k in range(300):
            _, reply = await h.infer(plain(k), request_id=f"r-{k}")
            if k < 150:
                await label(h, (f"r-{k}", 0, int(reply["outputs"][0]["data"][0] < 0.5)))
        assert (await h.call("POST", "/v1/releases", b'{"version":"v2","by":"swap"}'))[0] == 202
        h.tick()
        for k in range(150, 300):
            await label(h, (f"r-{k}", 0, int(plain(k)["amount"] < 50)))
        await h.clock.advance(12 * MINUTE)
        h.tick()
        await h.clock.advance(SECOND)
        assert h.alerts(name="concept_drift") == []
        assert (await get(h, "/v1/quality"))["n"] == 300

    run(body())


def test_the_ledger_is_bounded_and_forgets_whole_requests():
    ledger = Ledger(4)
    for k, rows in enumerate([2, 1, 2]):
        for row in range(rows):
            ledger.add(Decision(0, START, f"r{k}", row, rows, "v1", 0.5, "approve", "model", ""))
    assert len(ledger) == 4
    verdicts = [ledger.label(f"r{k}", row, 1)[0] for k, row in [(0, 0), (0, 1), (1, 0), (2, 0), (2, 1)]]
    assert verdicts == ["unknown", "unknown", "accepted", "accepted", "accepted"]


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"labels":[{"id":"a","label":2}]}', b'{"labels":[{"id":"a","row":-1}]}']
)
def test_labels_that_cannot_be_read_are_400(harness, body):
    async def scenario():
        assert (await harness().call("POST", "/v1/labels", body))[0] == 400

    run(scenario())


# ---------------------------------------------------------------- access


@pytest.mark.parametrize("token", ["", "secre", "secret2", "wrong"])
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/releases"), ("POST", "/v1/releases/rollback"), ("GET", "/v1/decisions"), ("POST", "/v1/labels")],
)
def test_the_control_plane_wants_its_token(harness, token, method, path):
    async def body():
        assert (await harness().call(method, path, token=token))[0] == 401

    run(body())


def test_no_token_configured_lets_nobody_in(harness):
    async def body():
        assert (await harness(token="").call("GET", "/v1/version", token=""))[0] == 401

    run(body())


def test_unknown_paths_are_404_and_wrong_methods_405(harness):
    async def body():
        h = harness()
        assert (await h.call("GET", "/nothing"))[0] == 404
        assert (await h.call("POST", "/v2/models/other/infer"))[0] == 404
        assert (await h.call("GET", "/v2/models/payments/infer"))[0] == 405
        assert (await h.call("DELETE", "/v1/labels"))[0] == 405

    run(body())


# ---------------------------------------------------------------- views


def test_which_version_is_live_takes_one_call(harness):
    async def body():
        version = await get(harness(), "/v1/version")
        assert (version["serving"], version["certified"], version["canary"]) == ("v1", "v1", None)

    run(body())


def test_the_contract_can_be_discovered(harness):
    async def body():
        model = await get(harness(), "/v2/models/payments")
        assert {"name": "amount", "datatype": "FP64", "shape": [-1]} in model["inputs"]
        assert {"name": "customer", "datatype": "INT64", "shape": [-1]} in model["inputs"]
        assert "spent" not in {field["name"] for field in model["inputs"]}

    run(body())


class Moody:
    """A model that hangs, or raises, while it is told to."""

    def __init__(self):
        self.mood = ""

    def __call__(self, model):
        async def hang():
            await asyncio.Event().wait()

        def call(*asked):
            if self.mood == "raises":
                raise RuntimeError
            return hang() if self.mood == "hangs" else model(*asked)

        return call


async def readiness(h):
    asked = asyncio.create_task(h.call("GET", "/v2/health/ready"))
    return (await asked)[0]


@pytest.mark.parametrize("mood", ["raises", "hangs"])
def test_a_service_whose_model_does_not_answer_is_alive_and_not_ready_though_nobody_has_asked_it_anything(
    harness, mood
):
    async def body():
        moody = Moody()
        h = harness({"model": moody}, policy={"ready_ns": 1_000_000})
        assert await readiness(h) == 200
        moody.mood = mood
        assert await readiness(h) == 503
        assert (await h.call("GET", "/v2/models/payments/ready"))[0] == 503
        assert (await h.call("GET", "/v2/health/live"))[0] == 200

    run(body())


def test_a_service_that_gets_no_traffic_while_it_is_not_ready_becomes_ready_again(harness):
    async def body():
        moody = Moody()
        h = harness({"model": moody})
        moody.mood = "raises"
        for _ in range(20):
            await h.infer(ROW)
        moody.mood = ""
        assert await readiness(h) == 503  # the breaker is open
        await h.clock.advance(7 * SECOND)
        assert [await readiness(h) for _ in range(6)] == [503, 503, 503, 503, 200, 200]  # it wants five probes

    run(body())


def test_metrics_are_prometheus_text_and_hold_no_values(harness):
    async def body():
        h = harness()
        await h.infer(ROW)
        await h.infer({**ROW, "method": "secret-method"})
        await h.infer({**ROW, 'ev"il\n': 1.0})
        h.tick()
        status, text = await h.call("GET", "/metrics", token="")
        assert status == 200
        lines = text.decode().splitlines()
        assert 'seatrial_service_requests_total{code="200"} 3' in lines
        assert 'seatrial_service_rows_total{source="default"} 1' in lines
        assert "seatrial_service_request_duration_seconds_count 3" in lines
        assert 'seatrial_service_build_info{version="v1",bundle="763100000000"} 1' in lines
        assert b"secret-method" not in text
        assert all(line.startswith(("#", "seatrial_service_")) for line in lines)

    run(body())


def test_monitors_show_how_every_field_stands(harness):
    async def body():
        h = harness()
        await h.traffic(130, plain)
        fields = (await get(h, "/v1/monitors"))["fields"]
        assert fields["amount"]["state"] == "ok"
        assert fields["amount"]["n"] == 1200
        assert set(fields) == {"amount", "age_days", "method", "foreign", "spent"}

    run(body())


# ---------------------------------------------------------------- decision log


def test_there_is_one_record_per_answered_row_in_order(harness):
    async def body():
        h = harness()
        await h.infer(ROW, request_id="a")
        await h.infer(ROW, {**ROW, "foreign": None}, request_id="b")
        log = await get(h, "/v1/decisions?limit=10")
        assert [(d["seq"], d["id"], d["row"], d["source"]) for d in log["decisions"]] == [
            (0, "a", 0, "model"), (1, "b", 0, "model"), (2, "b", 1, "rejected"),
        ]  # fmt: skip
        assert log["decisions"][2]["score"] is None
        assert log["decisions"][2]["reasons"] == "null:foreign"
        assert log["next_seq"] == 3
        assert len((await get(h, "/v1/decisions?limit=1"))["decisions"]) == 1
        assert (await h.call("GET", "/v1/decisions?limit=x"))[0] == 400

    run(body())


# ---------------------------------------------------------------- lifespan, settings, policy


@pytest.mark.usefixtures("versions")
def test_before_startup_the_app_is_alive_and_not_ready_and_a_bad_bundle_fails_the_start():
    async def body():
        app = create_app({"serving": "v7"}, clock=HandClock())
        sent = []

        async def send(message):
            sent.append(message)

        async def ask(path):
            sent.clear()
            await app({"type": "http", "path": path, "method": "GET", "headers": []}, None, send)
            return sent[0]["status"]

        assert await ask("/v2/health/live") == 200
        assert await ask("/v2/health/ready") == 503
        assert await ask("/v2/models/payments/infer") == 503
        sent.clear()

        async def receive():
            return {"type": "lifespan.startup"}

        await app({"type": "lifespan"}, receive, send)
        assert sent[0]["type"] == "lifespan.startup.failed"
        assert "BundleError" in sent[0]["message"]

    run(body())


def test_the_lifespan_ticks_and_stops(harness):
    async def body():
        template = harness()
        clock = HandClock()
        app = create_app({"feature_store": "f", "token": "secret"}, clock=clock)
        await app.startup()
        assert app.edge is not None
        template.service, template.edge = app.edge.service, app.edge
        for _ in range(50):
            await template.infer({**ROW, "amount": None})
        await clock.advance(10 * SECOND)
        assert ("null_rate", "amount") in app.edge.service.watch.book.episodes
        await app.shutdown()
        assert app.edge is None

    run(body())


def test_a_monitor_that_crashes_is_silent_and_not_fatal(harness):
    async def body():
        harness()  # the fixture's loaders
        clock = HandClock()
        app = create_app({"feature_store": "f"}, clock=clock)
        service = await app.startup()
        ticks = []

        def crash(_service, now_ns):
            ticks.append(now_ns)
            raise RuntimeError

        service.tick = crash
        await clock.advance(30 * SECOND)
        assert len(ticks) == 4  # at the start, and three times ten seconds later
        await app.shutdown()

    run(body())


@pytest.mark.parametrize(
    "wrong", [{"bundels": "x"}, {"alerts": {"email": "x"}}, {"safeguards": {"validaton": False}}, {"token": 5}]
)
def test_settings_that_are_not_known_are_refused_by_name(wrong):
    with pytest.raises(SettingsError, match=r"bundels|email|validaton|str"):
        read_settings(wrong)


@pytest.mark.parametrize("wrong", [{"deadlin_ns": 1}, {"review_from": 0.9, "block_from": 0.1}, {"window_ns": 15}])
def test_a_policy_that_cannot_be_meant_is_refused(wrong):
    with pytest.raises(PolicyError):
        read(wrong)

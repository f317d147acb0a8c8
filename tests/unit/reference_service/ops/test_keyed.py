"""Idempotency keys and clients that leave, over the whole service."""

from __future__ import annotations

import asyncio
import json

import pytest
from conftest import ROW, SECOND, encode, run, settle

from reference_service.app import _recall
from reference_service.guards.idempotency import Kept
from reference_service.pipeline import Pipeline

INFER = "/v2/models/payments/infer"
KEY = [(b"idempotency-key", b"order-1")]
OTHER = {**ROW, "amount": 41.0}
BATCH = [ROW, {**ROW, "foreign": None}, {**ROW, "amount": None}]  # answered, refused, answered by a default


async def ask(h, rows=(ROW,), headers=KEY, **options):
    """(status, body, whether it is another request's)."""
    status, body = await h.call("POST", INFER, encode(rows, "a"), headers=headers, **options)
    return status, body, status and b"idempotent-replayed" in h.headers


def decided(h):
    return [record.row for record in h.service.log.recent(99)]


class Gate:
    """A model that waits to be let, and knows how often it was asked and how often given up."""

    def __init__(self):
        self.open = asyncio.Event()
        self.asked = self.given_up = 0

    def __call__(self, model):
        async def call(*asked):
            self.asked += 1
            try:
                await self.open.wait()
            except asyncio.CancelledError:
                self.given_up += 1
                raise
            return model(*asked)

        return call


# ---------------------------------------------------------------- keys


@pytest.mark.parametrize(("on_failure", "status"), [("refuse", 503), ("answer", 200)])
def test_while_answers_are_out_of_reach_an_operator_has_keyed_requests_refused_or_answered(harness, on_failure, status):
    async def body():
        h = harness(on_answers_failure=on_failure)

        class Away:
            async def claim(self, *_):
                raise ConnectionError

        h.service.idempotency.store = Away()
        assert (await ask(h))[0] == status
        assert len(decided(h)) == (status == 200)
        assert (await ask(h, headers=[]))[0] == 200

    run(body())


@pytest.mark.parametrize("rows", [[ROW], BATCH], ids=["one", "batch"])
def test_who_asks_again_gets_the_first_answer_and_nothing_is_decided_twice(harness, rows):
    async def body():
        h = harness()
        first = await ask(h, rows)
        again = await ask(h, rows)
        assert (first[0], first[2], again[2]) == (200, False, True)
        assert again[:2] == first[:2]
        assert decided(h) == list(range(len(rows)))

    run(body())


def test_a_key_changes_no_answer(harness):
    async def body():
        h = harness()
        for rows in ([ROW], BATCH):
            key = [(b"idempotency-key", b"%d" % len(rows))]
            assert (await ask(h, rows, key))[1] == (await ask(h, rows, ()))[1]

    run(body())


def test_a_retry_is_not_answered_by_a_newer_version(harness):
    async def body():
        h = harness()
        first = await ask(h)
        status, _ = await h.call("POST", "/v1/releases", b'{"version":"v2","by":"swap"}')
        assert status == 202
        assert json.loads((await ask(h, headers=()))[1])["model_version"] == "v2"
        assert (await ask(h))[1] == first[1]

    run(body())


def test_another_request_under_the_same_key_is_refused_and_decides_nothing(harness):
    async def body():
        h = harness()
        await ask(h)
        status, reply, _ = await ask(h, [OTHER])
        assert (status, json.loads(reply)["title"]) == (422, "Key reused")
        assert decided(h) == [0]

    run(body())


def test_requests_that_come_while_the_first_one_is_being_answered_share_its_answer(harness):
    async def body():
        gate = Gate()
        h = harness({"model": gate})
        asked = [asyncio.create_task(ask(h)) for _ in range(5)]
        await settle()
        gate.open.set()
        answers = await asyncio.gather(*asked)
        assert len({reply for _, reply, _ in answers}) == 1
        assert (gate.asked, decided(h)) == (1, [0])
        assert h.service.idempotency.replayed == 4

    run(body())


def test_a_request_that_another_process_is_answering_is_told_to_come_back(harness):
    class Elsewhere:
        async def claim(self, _scope, payload, now_ns):
            return Kept(payload, 0, b"", now_ns)

    async def body():
        h = harness()
        h.service.idempotency.store = Elsewhere()
        status, _, _ = await ask(h)
        assert (status, h.headers[b"retry-after"], decided(h)) == (409, b"1", [])

    run(body())


@pytest.mark.parametrize("key", [b"", b"a b", b"x" * 256])
def test_what_is_no_key_is_refused_and_never_ignored(harness, key):
    async def body():
        h = harness()
        assert (await ask(h, headers=[(b"idempotency-key", key)]))[0] == 400
        assert decided(h) == []

    run(body())


def test_switched_off_a_key_means_nothing(harness):
    async def body():
        h = harness(safeguards={"idempotency": False})
        assert [(await ask(h))[2] for _ in range(2)] == [False, False]
        assert decided(h) == [0, 0]

    run(body())


def test_a_request_without_a_key_never_comes_near_the_store(harness):
    async def body():
        h = harness()
        h.service.idempotency.store = None
        assert (await ask(h, headers=[(b"x-other", b"1")]))[0] == 200

    run(body())


def test_what_no_retry_would_repair_is_kept_and_what_one_may_is_not(harness):
    async def body():
        gate = Gate()
        h = harness({"model": gate}, safeguards={"fallback": False}, policy={"deadline_ns": 1_000_000})
        assert (await ask(h))[0] == 504
        gate.open.set()
        h.service.policy = h.service.pipeline.policy
        assert (await ask(h))[0] == 200
        assert (await ask(h, [{**ROW, "foreign": None}], [(b"idempotency-key", b"2")]))[0] == 422
        assert (await ask(h, [{**ROW, "foreign": None}], [(b"idempotency-key", b"2")]))[2]

    run(body())


def test_after_a_restart_the_answers_are_read_from_the_log(harness, tmp_path):
    async def body():
        at_once = {"log_segment": 600, "log_wait_ns": 0}
        first = harness(decision_log=str(tmp_path), policy=at_once)
        keys = [[(b"idempotency-key", b"%d" % k)] for k in range(4)]
        before = [await ask(first, BATCH if k % 2 else [ROW], key) for k, key in enumerate(keys)]
        await ask(first, headers=())
        await first.service.log.close()
        assert len(list(tmp_path.glob("decisions-*.jsonl"))) > 1

        second = harness(decision_log=str(tmp_path), policy=at_once)
        await _recall(second.service)
        after = [await ask(second, BATCH if k % 2 else [ROW], key) for k, key in enumerate(keys)]
        assert [answer[:2] for answer in after] == [answer[:2] for answer in before]
        assert all(replayed for _, _, replayed in after)
        assert (await ask(second, [OTHER], keys[0]))[0] == 422
        await second.service.log.close()

        third = harness(decision_log=str(tmp_path))
        await third.clock.advance(25 * 3600 * SECOND)
        await _recall(third.service)
        assert third.service.idempotency.store.entries == 0
        await third.service.log.close()

    run(body())


# ---------------------------------------------------------------- clients that leave


def test_work_of_a_client_that_has_left_is_given_up_and_nothing_is_decided(harness):
    async def body():
        gate, left = Gate(), asyncio.Event()
        h = harness({"model": gate})
        asked = asyncio.create_task(ask(h, left=left))
        await settle()
        left.set()
        assert (await asked)[0] == 0
        assert (gate.asked, gate.given_up, decided(h)) == (1, 1, [])
        assert h.service.counters.left == 1
        assert h.service.limiter.in_flight == 0
        gate.open.set()
        assert (await ask(h))[::2] == (200, False)  # the key is free again

    run(body())


def test_who_waits_for_the_answer_of_a_client_that_leaves_gets_one_all_the_same(harness):
    async def body():
        gate, left = Gate(), asyncio.Event()
        h = harness({"model": gate})
        first = asyncio.create_task(ask(h, left=left))
        await settle()
        second = asyncio.create_task(ask(h))
        await settle()
        left.set()
        await first
        gate.open.set()
        assert (await second)[::2] == (200, False)
        assert decided(h) == [0]

    run(body())


def test_switched_off_work_goes_on_for_nobody(harness):
    async def body():
        gate, left = Gate(), asyncio.Event()
        h = harness({"model": gate}, safeguards={"presence": False})
        asked = asyncio.create_task(ask(h, left=left))
        await settle()
        left.set()
        await settle()
        gate.open.set()
        await asked
        assert (gate.given_up, decided(h)) == (0, [0])

    run(body())


def test_what_has_been_decided_stands_though_the_client_leaves_before_it_is_written(harness):
    async def body():
        written, left = asyncio.Event(), asyncio.Event()

        def slow(_sink):
            async def write(_records, _payloads):
                await written.wait()

            return write

        h = harness({"decision_log": slow}, policy={"log_wait_ns": 0})
        asked = asyncio.create_task(ask(h, BATCH, left=left))
        await settle()
        left.set()
        await asked
        written.set()
        await settle()
        assert (await ask(h, BATCH))[2]
        assert decided(h) == [0, 1, 2]

    run(body())


# ---------------------------------------------------------------- replies that are nobody's fault but ours


def test_a_defect_of_ours_is_a_problem_that_tells_nothing(harness, caplog, monkeypatch):
    async def body():
        h = harness()

        def broken(*_):
            raise KeyError("secret")

        monkeypatch.setattr(Pipeline, "quick", broken)
        status, reply, _ = await ask(h, headers=())
        assert (status, h.headers[b"content-type"]) == (500, b"application/problem+json")
        assert b"secret" not in reply
        assert "secret" in caplog.text
        assert h.service.limiter.in_flight == 0
        assert h.service.counters.statuses[500] == 1

    run(body())

"""What monitors and receivers know survives a restart of the service."""

from __future__ import annotations

import json

import pytest
from conftest import MINUTE, SECOND, plain, run, settle
from test_control import label

NULLS = lambda k: {**plain(k), "amount": None}  # noqa: E731 - a row like the others


@pytest.fixture
def reborn(harness, tmp_path):
    """A factory of services that keep their state in the same file."""
    return lambda **settings: harness(state=str(tmp_path / "monitors.json"), **settings)


async def moved(h, other):
    """The new process lives on where the old one was."""
    await h.clock.advance(other.clock.now_ns() - h.clock.now_ns())
    return h


def test_an_episode_that_stands_is_not_told_again_and_ends_once(reborn):
    async def body():
        old = reborn()
        await old.traffic(30, NULLS)
        assert [a["status"] for a in old.alerts(name="null_rate")] == ["firing"]
        new = await moved(reborn(), old)
        await new.traffic(30, NULLS)
        assert new.alerts(name="null_rate") == []
        await new.traffic(120, plain)
        (ended,) = new.alerts(name="null_rate")
        assert ended["status"] == "resolved"
        assert ended["fingerprint"] == old.alerts(name="null_rate")[0]["fingerprint"]

    run(body())


def test_what_a_receiver_has_not_got_is_sent_by_the_next_process(reborn):
    async def body():
        old = reborn()
        old.down = True
        await old.traffic(30, NULLS)
        assert old.sent == []
        new = await moved(reborn(), old)
        new.tick()
        await settle()
        await new.clock.advance(5 * SECOND)
        assert [a["status"] for a in new.alerts(name="null_rate")] == ["firing"]

    run(body())


@pytest.mark.parametrize("lost", ["cohorts", "inputs", "groups", "traffic", "concept", "reviews"])
def test_evidence_of_another_shape_loses_no_alert_and_doubles_none(reborn, tmp_path, lost, caplog):
    """Whom was told what outlives evidence that cannot be read: of an earlier release, or of other thresholds."""

    async def body():
        old = reborn()
        await old.traffic(30, NULLS)  # told
        old.down = True
        await old.traffic(30, lambda k: {**plain(k), "amount": None, "method": "barter"})  # not told yet
        assert old.alerts(name="unseen_category") == []
        kept = json.loads((tmp_path / "monitors.json").read_bytes())
        (tmp_path / "monitors.json").write_text(json.dumps({**kept, lost: 1}))
        new = await moved(reborn(), old)
        await new.traffic(30, lambda k: {**plain(k), "amount": None, "method": "barter"})
        assert [a["status"] for a in new.alerts(name="unseen_category")] == ["firing"]
        assert new.alerts(name="null_rate") == []
        await new.traffic(150, plain)
        assert [a["status"] for a in new.alerts(name="null_rate")] == ["resolved"]

    run(body())
    (said,) = caplog.messages
    assert said.endswith(f"afresh: {lost}")


def test_cohorts_of_another_width_take_no_alert_with_them(reborn):
    async def body():
        old = reborn()
        await old.traffic(60, plain)
        old.down = True
        await old.traffic(30, NULLS)
        new = await moved(reborn(policy={"cohort_ns": 59 * SECOND}), old)
        new.tick()
        await settle()
        assert [a["status"] for a in new.alerts(name="null_rate")] == ["firing"]

    run(body())


@pytest.mark.parametrize(("serving", "told"), [("v1", 1), ("v2", 0)])
def test_what_another_version_got_wrong_before_a_restart_is_no_drift_of_this_one(reborn, serving, told):
    async def body():
        policy = {"label_horizon_ns": 10 * MINUTE, "label_share": 0.0}
        old = reborn(policy=policy)
        for k in range(300):
            _, reply = await old.infer(plain(k), request_id=f"r-{k}")
            await label(old, (f"r-{k}", 0, int(reply["outputs"][0]["data"][0] < 0.5)))
        old.tick()
        new = await moved(reborn(policy=policy, serving=serving), old)
        await new.clock.advance(12 * MINUTE)
        new.tick()
        await new.clock.advance(SECOND)
        assert len(new.alerts(name="concept_drift")) == told

    run(body())


def test_a_quarantine_holds_over_a_restart(reborn):
    async def body():
        policy = {"window_ns": 20 * SECOND, "drift_rows": 150}
        old = reborn(policy=policy)
        await old.traffic(100, lambda k: {**plain(k), "amount": plain(k)["amount"] / 100})
        new = await moved(reborn(policy=policy), old)
        assert (await new.one({**plain(1), "amount": 0.4}))[1] == "quarantine:amount"

    run(body())


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff\x00", b'{"inputs": 1}'])
def test_a_state_that_cannot_be_read_is_begun_afresh(reborn, tmp_path, damage):
    async def body():
        (tmp_path / "monitors.json").write_bytes(damage)
        h = reborn()
        await h.traffic(30, NULLS)
        assert [a["status"] for a in h.alerts(name="null_rate")] == ["firing"]

    run(body())


def test_a_late_batch_does_not_count_as_now(harness):
    async def body():
        h = harness()
        await h.traffic(130, plain)
        body = b'{"parameters":{"event_time_ms":%d},"inputs":[' % ((h.clock.now_ns() - 125 * SECOND) // 1_000_000)
        body += b",".join(
            b'{"name":"%b","shape":[1],"datatype":"X","data":[%b]}' % pair
            for pair in [(b"customer", b"1"), (b"amount", b"null"), (b"age_days", b"1"), (b"method", b'"card"'),
                         (b"foreign", b"false")]
        )  # fmt: skip
        for _ in range(100):
            assert (await h.call("POST", "/v2/models/payments/infer", body + b"]}"))[0] == 200
        h.tick()
        await settle()
        assert h.service.watch.inputs.late_rows == 100
        assert h.alerts() == []
        for k in range(100):
            await h.infer({**plain(k), "amount": None})
        h.tick()
        await settle()
        assert [a["labels"]["alertname"] for a in h.alerts()] == ["null_rate"]

    run(body())

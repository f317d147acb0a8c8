"""A tick at which a few ordinary answers are all that is new looks at nothing; what is not ordinary is looked at."""

from __future__ import annotations

import pytest
from conftest import MINUTE, SECOND, plain, run, settle

TICK = 10 * SECOND


async def some(h, rows, row=plain):
    for k in range(rows):
        await h.infer(row(k))


async def ticked(h, monkeypatch_looks):
    """Whether the monitors looked at the tick that comes now."""
    before = len(monkeypatch_looks)
    await h.clock.advance(TICK)
    h.tick()
    await settle()
    return len(monkeypatch_looks) > before


@pytest.fixture
def looks(monkeypatch):
    """One entry for each time that the inputs were looked at."""
    from reference_service.monitor.inputs import InputMonitors

    found, tick = [], InputMonitors.tick
    monkeypatch.setattr(InputMonitors, "tick", lambda self, now_ns: found.append(now_ns) or tick(self, now_ns))
    return found


def test_few_ordinary_answers_wait_for_sixteen_or_for_the_minute(harness, looks):
    async def body():
        h = harness()
        h.tick()
        assert len(looks) == 1
        await some(h, 5)
        assert not await ticked(h, looks)
        await some(h, 10)
        assert not await ticked(h, looks)
        await some(h, 1)
        assert await ticked(h, looks)  # sixteen
        assert [await ticked(h, looks) for _ in range(6)] == [False] * 5 + [True]  # a minute
        assert h.service.watch.inputs._window[0].sum() == 16  # and what waited was counted

    run(body())


@pytest.mark.parametrize(
    "odd", [{"amount": None}, {"method": "cheque"}, {"amount": -1.0}, {"foreign": None}, {"amount": "12"}, {"extra": 1}]
)
def test_an_answer_that_is_not_the_models_own_is_looked_at_at_the_next_tick(harness, looks, odd):
    async def body():
        h = harness()
        h.tick()
        await some(h, 1, lambda k: {**plain(k), **odd})
        assert await ticked(h, looks)
        assert not await ticked(h, looks)

    run(body())


def test_so_are_a_dependency_that_fails_and_a_log_that_does(harness, looks):
    async def body():
        broken = False

        def seam(call):
            def through(*args):
                if broken:
                    raise ConnectionError
                return call(*args)

            return through

        h = harness({"model": seam})
        h.tick()
        await some(h, 1)
        assert not await ticked(h, looks)
        broken = True
        await some(h, 1)
        assert await ticked(h, looks)
        await some(h, 60)
        assert await ticked(h, looks)
        assert h.alerts(name="dependency_down")
        broken = False
        assert await ticked(h, looks)  # what pages is looked at while it stands, also without traffic

    run(body())


def test_a_release_on_trial_and_a_state_that_is_kept_are_looked_at_at_every_tick(harness, looks, tmp_path):
    async def body():
        h = harness()
        h.tick()
        assert not await ticked(h, looks)
        status, _ = await h.call("POST", "/v1/releases", b'{"version": "v2", "mode": "canary", "share": 0.5}')
        assert status == 202
        assert all([await ticked(h, looks) for _ in range(3)])
        kept = harness(state=str(tmp_path / "state.json"))
        kept.tick()
        assert all([await ticked(kept, looks) for _ in range(3)])

    run(body())


def test_the_heartbeat_comes_every_minute_all_the_same(harness, looks):
    async def body():
        h = harness(policy={"look_ns": 60 * MINUTE, "window_ns": 60 * MINUTE})
        h.tick()
        await settle()
        for _ in range(60):
            await ticked(h, looks)
        beats = [body for where, body in h.sent if where == "alertmanager"]
        assert len(beats) == 11
        assert len(looks) == 1

    run(body())


def test_windows_end_on_their_border(harness, looks):
    async def body():
        h = harness(policy={"look_ns": 60 * MINUTE})
        h.tick()
        found = [k for k in range(1, 37) if await ticked(h, looks)]
        assert found == [12, 24, 36]  # windows of two minutes

    run(body())


@pytest.mark.parametrize("every", [1, 2, 5])  # seconds from one request to the next
def test_nulls_that_the_model_knows_are_told_within_two_minutes_also_where_hardly_anybody_asks(harness, every):
    async def body():
        h = harness()
        h.tick()
        for second in range(1, 121):
            if second % every == 0:
                await h.infer({**plain(second), "age_days": None})  # ordinary: training had nulls there
            await h.clock.advance(SECOND)
            if second % 10 == 0:
                h.tick()
        await settle()
        assert h.alerts(name="null_rate")

    run(body())

"""A registry of files that is damaged, full or away for a while: who serves goes on, and nobody is left behind."""

from __future__ import annotations

import errno
import json

import pytest
from conftest import ROW, run, settle
from test_registry_of_files import bad_canary, nan_of, post, second, view

from reference_service.release.store import Store


def state(shared):
    return json.loads(shared.store.read_state())


# ---------------------------------------------------------------- damaged


def test_a_state_that_reads_well_and_means_nothing_stops_nobody(shared):
    """A trial of no release."""

    async def body():
        h = shared()
        await post(h, version="v2", by="canary", share=0.5)
        shared.store.write_state(json.dumps({**state(shared), "history": [], "generation": 99}).encode())
        await second(h)
        assert not h.following.done()
        again = shared()
        assert (await again.one(ROW))[0] == "model"
        assert (await post(again, "/rollback", to="v1"))[0] == 202

    run(body())


def test_who_starts_beside_a_damaged_state_serves_what_served_and_keeps_the_damaged_one(shared, tmp_path):
    """And not what the settings say, which an automatic rollback may have taken back."""

    async def body():
        h = shared(serving="v2")
        await post(h, "/rollback", to="v1")
        (tmp_path / "registry" / "state.json").write_bytes(b"\x00damaged")
        again = shared(serving="v2")
        found = await view(again)
        assert (found["serving"], found["certified"]) == ("v1", "v1")
        assert (tmp_path / "registry" / "state.json.damaged").read_bytes() == b"\x00damaged"

    run(body())


@pytest.mark.parametrize("damage", [b"", b"{", None])
def test_who_knows_the_state_puts_it_right_where_it_was_damaged_lost_or_begun_anew(shared, tmp_path, damage, caplog):
    async def body():
        a = shared({"model": nan_of("v2")})
        await bad_canary(a)
        place = tmp_path / "registry" / "state.json"
        if damage is None:
            place.unlink()
        else:
            place.write_bytes(damage)
        b = shared(serving="v2")  # knows nothing of the rollback yet
        await second(a, b)
        assert await view(b) == await view(a)
        assert (await post(b, version="v2"))[0] == 409  # frozen
        place.write_bytes(b"{")
        for _ in range(5):
            await second(a, b)
        assert state(shared)["generation"] == a.service.follower._generation

    run(body())
    assert sum("cannot be taken up" in line for line in caplog.messages) < 5


# ---------------------------------------------------------------- away, or full


def test_a_registry_that_is_away_for_a_while_leaves_nobody_behind(shared, monkeypatch):
    async def body():
        a, b = shared(), shared()
        stamp = Store.stamp

        def away(_store):
            raise OSError(errno.ESTALE, "Stale file handle")

        monkeypatch.setattr(Store, "stamp", away)
        await second(a, b)
        monkeypatch.setattr(Store, "stamp", stamp)
        await post(a, version="v2", by="canary", share=0.5)
        await second(a, b)
        assert not b.following.done()
        assert (await view(b))["releases"][0]["version"] == "v2"

    run(body())


def fails(*_args, **_options):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_on_a_full_disk_a_rollback_stands_nobody_gets_an_error_and_it_is_written_down_later(shared, monkeypatch):
    async def body():
        a, b = shared({"model": nan_of("v2")}), shared()
        await post(a, version="v2", by="canary", share=0.5)
        await second(a, b)
        with monkeypatch.context() as disk:
            disk.setattr("reference_service.release.store.write", fails)
            statuses = {(await a.infer({**ROW, "customer": k}))[0] for k in range(40)}
            assert statuses == {200}
            assert a.service.releases.trial is None
            a.tick()
            await settle()
            assert a.alerts(name="canary_rollback")  # alerts go out all the same
        a.tick()
        await second(a, b)
        assert b.service.releases.trial is None
        assert (await post(b, version="v2"))[0] == 409

    run(body())


def test_on_a_full_disk_an_operator_is_told_that_others_do_not_know(shared, monkeypatch):
    async def body():
        a, b = shared(), shared()
        await post(a, version="v2", by="canary", share=0.5)
        await second(a, b)
        with monkeypatch.context() as disk:
            disk.setattr("reference_service.release.store.write", fails)
            status, reply = await post(a, "/rollback")
            assert status == 409
            assert "done in this process" in reply["detail"]
            assert "No space left on device" in reply["detail"]
            assert a.service.releases.trial is None
        a.tick()
        await second(a, b)
        assert b.service.releases.trial is None

    run(body())


# ---------------------------------------------------------------- two at the same moment


def test_two_releases_of_one_version_at_one_moment_end_as_the_first_of_them(shared, monkeypatch):
    """Of the same number and version, one in the shadow and one before customers: no half of each."""

    async def body():
        a, b = shared(), shared()
        monkeypatch.setattr(type(b.service), "take_up", lambda _: None)
        await post(a, version="v2", by="shadow")
        assert (await post(b, version="v2", by="canary", share=0.5))[0] == 409
        trial = b.service.releases.trial
        assert (trial.release.by, trial.judge, b.service.releases.split) == ("shadow", None, None)
        assert trial.shadow is not None
        assert {b.service.releases.route(k).version for k in range(99)} == {"v1"}

    run(body())

"""The cache within the service: it says so, it is counted, and no answer of one version is ever another's."""

from __future__ import annotations

import json

import pytest
from conftest import ROW, plain, run

from reference_service.core.cells import NULL_CELL


def test_a_row_that_comes_again_is_answered_from_the_cache_and_says_so(harness):
    async def body():
        h = harness(cache="on")
        first, again = await h.one(ROW), await h.one(ROW)
        assert (first[0], again[0]) == ("model", "cache")
        assert again[1:] == first[1:]
        assert h.service.counters.answers == 2

    run(body())


@pytest.mark.parametrize("cache", ["auto", "off"])
def test_unless_told_so_nothing_stands_before_a_quick_forest(harness, cache):
    async def body():
        h = harness(cache=cache)
        assert [(await h.one(ROW))[0] for _ in range(2)] == ["model", "model"]

    run(body())


def test_rows_of_a_batch_are_known_one_by_one(harness):
    async def body():
        h = harness(cache="on")
        await h.one(plain(1))
        _, reply = await h.infer(plain(0), plain(1), plain(2))
        assert {o["name"]: o["data"] for o in reply["outputs"]}["source"] == ["model", "cache", "model"]
        _, again = await h.infer(plain(0), plain(1), plain(2))
        outputs = {o["name"]: o["data"] for o in again["outputs"]}
        assert outputs["source"] == ["cache"] * 3
        assert outputs["score"] == {o["name"]: o["data"] for o in reply["outputs"]}["score"]

    run(body())


def test_a_hit_counts_in_the_monitors_as_a_miss_does(harness):
    async def body():
        h = harness(cache="on")
        for _ in range(7):
            await h.one(ROW)
        counts = h.service.watch.inputs.received.take()
        assert (counts.sum(axis=1) == 7).all()
        assert not counts[:, NULL_CELL].any()
        assert h.service.counters.rows == 7

    run(body())


def test_a_swap_leaves_no_answer_of_the_old_version(harness):
    async def body():
        h = harness(cache="on")
        old = await h.one(ROW)
        status, _ = await h.call("POST", "/v1/releases", json.dumps({"version": "v2", "by": "swap"}).encode())
        assert status == 202
        source, _, score, _ = await h.one(ROW)
        assert source == "model"
        assert score != old[2]

    run(body())


def test_a_model_that_fails_is_not_remembered(harness):
    async def body():
        h = harness({"model": lambda _: lambda *_: float("nan")}, cache="on")
        assert [(await h.one(ROW))[0] for _ in range(2)] == ["fallback", "fallback"]
        assert len(h.service.cache) == 0

    run(body())


def test_a_hit_that_goes_the_long_way_says_so_too(harness):
    async def body():
        h = harness(cache="on", policy={"explore_share": 0.5, "block_from": 0.61})
        costly = next(
            row
            for row in map(plain, range(100))
            if h.service.releases.champion.bundle.probability(row["amount"] / 100) > 0.7
        )
        assert [(await h.one(costly))[0] for _ in range(2)] == ["model", "cache"]

    run(body())


def test_hits_and_misses_are_exported(harness):
    async def body():
        h = harness(cache="on")
        for _ in range(3):
            await h.one(ROW)
        _, text = await h.call("GET", "/metrics")
        assert b'cache_lookups_total{result="hit"} 2' in text
        assert b'cache_lookups_total{result="miss"} 1' in text
        assert b"cache_entries 1" in text

    run(body())

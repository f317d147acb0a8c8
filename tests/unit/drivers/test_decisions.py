"""Reading a decision log page by page, and saying so if that was not all of it."""

from __future__ import annotations

import asyncio
import json

import pytest

from simulator.drivers.decisions import fetch

LINES = [json.dumps({"seq": k, "id": f"r{k}"}).encode() + b"\n" for k in range(5)]


def read(get):
    asked = []

    async def answer(path):
        asked.append(path)
        return get(int(path.partition("after=")[2].partition("&")[0]))

    return asyncio.run(fetch("/log", answer)), asked


def test_it_asks_until_there_is_no_more():
    (lines, why), asked = read(lambda after: (200, b"".join(LINES[after + 1 : after + 3])))
    assert (lines, why) == (LINES, "")
    assert [path.partition("&")[0] for path in asked] == [f"/log?after={k}" for k in (-1, 1, 3, 4)]


@pytest.mark.parametrize(
    ("page", "said"),
    [((503, b""), "answered 503"), ((200, LINES[0]), "does not go on"), ((200, b"hello\n"), "does not go on")],
)
def test_a_log_that_cannot_be_read_to_its_end_is_none(page, said):
    (_, why), _ = read(lambda _: page)
    assert said in why

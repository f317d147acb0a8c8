"""The log as others read it: page by page, byte for byte, wherever its lines lie."""

from __future__ import annotations

import json

import pytest
from conftest import run
from test_decision_log import Opened

from reference_service.audit import archive
from reference_service.audit.files import RECORDS, segments
from reference_service.audit.pages import page


def read(folder, limit=3):
    pages, after = [], -1
    while found := page(folder, after, limit):
        pages.append(found)
        after = max(record["seq"] for record in map(json.loads, found.splitlines()) if "seq" in record)
    return pages


def filled(folder, count=40, segment=2_000):
    async def body():
        opened = Opened(folder, segment=segment)
        for k in range(count):
            await opened.add(k)
        await opened.close()

    run(body())
    return b"".join(path.read_bytes() for path in [*segments(folder), folder / RECORDS])


@pytest.mark.parametrize("limit", [1, 3, 1000])
def test_the_pages_together_are_the_log_byte_for_byte(tmp_path, limit):
    whole = filled(tmp_path)
    assert len(segments(tmp_path)) > 2
    pages = read(tmp_path, limit)
    assert b"".join(pages) == whole
    assert len(pages) == -(-40 // limit)


def test_archives_are_read_as_well_and_what_was_deleted_is_said_to_be_gone(tmp_path):
    whole = filled(tmp_path)
    archive.seal(tmp_path)
    assert b"".join(read(tmp_path)) == whole
    assert archive.retain(tmp_path, 1 << 62)
    with pytest.raises(LookupError):
        page(tmp_path, -1, 10)


def test_what_no_seal_covers_is_not_shown(tmp_path):
    whole = filled(tmp_path, 4, segment=1 << 24)
    with (tmp_path / RECORDS).open("ab") as file:
        file.write(b'{"seq":4,"id":"torn","row":0}\n{"block":5,"ro')
    assert b"".join(read(tmp_path)) == whole


def test_only_who_shows_the_token_reads_it(harness, tmp_path):
    filled(tmp_path, 5)

    async def body():
        h = harness(decision_log=str(tmp_path))
        status, found = await h.call("GET", "/v1/decisions/lines?after=1&limit=2")
        assert status == 200
        lines = [json.loads(line) for line in found.splitlines()]
        assert [line["id"] for line in lines if "seq" in line] == ["r2", "r3"]
        assert (await h.call("GET", "/v1/decisions/lines?after=x"))[0] == 400
        assert (await h.call("GET", "/v1/decisions/lines", token=""))[0] == 401
        await h.service.log.close()

    run(body())


def test_a_log_in_memory_has_no_lines_and_of_several_there_is_no_one(harness, tmp_path):
    async def body():
        assert (await harness().call("GET", "/v1/decisions/lines"))[0] == 404
        h = harness(decision_log=str(tmp_path / "log"), workers=2)
        assert (await h.call("GET", "/v1/decisions/lines"))[0] == 409
        await h.service.log.close()

    run(body())

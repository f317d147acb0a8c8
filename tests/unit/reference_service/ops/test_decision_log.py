"""The decision log: chained, grouped, resumed after any crash, patient with a sink that fails."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from base64 import b64encode

import msgspec
import numpy as np
import pandas as pd
import pytest
from conftest import METHODS, ROW, SECOND, START, HandClock, LinearBundle, run
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_service.audit import archive
from reference_service.audit.decision_log import DecisionLog
from reference_service.audit.files import PAYLOADS, RECORDS, FileSink, LogBroken, segments
from reference_service.audit.records import Decision, Payload, packed, unpacked
from reference_service.audit.verify import verify
from reference_service.commands import audit
from reference_service.monitor.anomaly import Anomaly, bits_of

MS = 1_000_000


def entry(k, row=0):
    made = Decision(k, START + k, f"r{k}", row, 1, "v1", 0.5, "approve", "model", "")
    return made, Payload(k, packed([k, float("nan")]), packed([k, 1.0]), k, f'{{"id":"r{k}"}}'), None


class Opened:
    """A log in a folder, written at once: nobody waits for company."""

    def __init__(self, folder, *, segment=1 << 24, rows=4):
        self.sink = FileSink(folder, segment)
        self.log = DecisionLog(HandClock(), rows=rows, wait_ns=0, ring=100, sink=self.sink, tail=self.sink.tail[:3])

    async def add(self, *numbers):
        for k in numbers:
            self.log.append(*entry(k))
        assert await self.log.committed()

    async def close(self):
        await self.log.close()


def filled(folder, count, **options):
    async def body():
        opened = Opened(folder, **options)
        for k in range(opened.log.seq, count):
            await opened.add(k)
        await opened.close()
        return opened.log

    return run(body())


def test_the_chain_on_disk_is_the_one_in_memory_and_goes_on_after_a_restart(tmp_path):
    log = filled(tmp_path, 10)
    tail = verify(tmp_path)
    assert (tail.head, tail.seq, tail.block) == (log.head, 10, 10)
    assert filled(tmp_path, 11).seq == 11
    assert verify(tmp_path).seq == 11


@given(ring=st.integers(0, 9), rows=st.integers(1, 5), count=st.integers(0, 30), limit=st.integers(0, 12))
@settings(max_examples=60, deadline=None)
def test_what_is_kept_in_memory_is_the_last_records_and_hardly_more_than_was_asked_for(ring, rows, count, limit):
    log = DecisionLog(HandClock(), rows=rows, wait_ns=0, ring=ring)
    for k in range(count):
        log.append(*entry(k))
    found = log.recent(limit)
    assert [made.seq for made in found] == list(range(count))[count - len(found) :]
    assert min(limit, ring, count) <= len(found) <= min(limit, count, ring + rows - 1 if ring else 0)


@pytest.mark.parametrize("tamper", ["change", "drop", "swap", "seal"])
def test_a_record_that_is_changed_dropped_or_swapped_is_noticed(tmp_path, tamper):
    async def body():
        opened = Opened(tmp_path)
        await opened.add(*range(8))
        await opened.close()

    run(body())
    path = tmp_path / RECORDS
    lines = path.read_bytes().splitlines(keepends=True)
    if tamper == "change":
        lines[1] = lines[1].replace(b"0.5", b"0.6")
    elif tamper == "drop":
        del lines[1]
    elif tamper == "swap":
        lines[1], lines[2] = lines[2], lines[1]
    else:
        lines[4] = b'{"block":?}\n'
    path.write_bytes(b"".join(lines))
    with pytest.raises(LogBroken, match=r"decisions\.jsonl.*block"):
        verify(tmp_path)
    with pytest.raises(LogBroken):
        FileSink(tmp_path)


def test_a_crash_at_any_byte_loses_nothing_that_was_sealed_and_the_log_goes_on(tmp_path):
    """Payloads are written before records, so a crash leaves a prefix of the one and then of the other."""
    whole = tmp_path / "whole"
    filled(whole, 3)
    records, payloads = (whole / RECORDS).read_bytes(), (whole / PAYLOADS).read_bytes()
    seals = [i + len(line) for i, line in _lines(records) if line.startswith(b'{"block"')]
    for cut in range(len(records) + 1):
        folder = tmp_path / "cut"
        folder.mkdir()
        (folder / RECORDS).write_bytes(records[:cut])
        (folder / PAYLOADS).write_bytes(payloads)
        kept = sum(end <= cut for end in seals)
        assert filled(folder, 3).seq == 3
        assert verify(folder).block == 3
        assert (folder / RECORDS).read_bytes()[: seals[kept - 1] if kept else 0] == records[
            : seals[kept - 1] if kept else 0
        ]
        assert archive.check_payloads(folder) == (3, 0)
        shutil.rmtree(folder)


def test_a_payload_that_a_crash_tore_off_goes_with_the_record_that_never_was(tmp_path):
    whole = tmp_path / "whole"
    filled(whole, 2)
    first = len((whole / PAYLOADS).read_bytes().splitlines(keepends=True)[0])
    records = (whole / RECORDS).read_bytes()
    payloads = (whole / PAYLOADS).read_bytes()
    for cut in range(first, len(payloads) + 1):
        folder = tmp_path / "cut"
        folder.mkdir()
        (folder / RECORDS).write_bytes(b"".join(records.splitlines(keepends=True)[:2]))
        (folder / PAYLOADS).write_bytes(payloads[:cut])
        FileSink(folder).close()
        assert (folder / PAYLOADS).read_bytes() == payloads[:first]
        shutil.rmtree(folder)


def _lines(data):
    at = 0
    for line in data.splitlines(keepends=True):
        yield at, line
        at += len(line)


def test_a_head_is_the_digest_of_the_one_before_and_the_block(tmp_path):
    log = filled(tmp_path, 1)
    first = (tmp_path / RECORDS).read_bytes().splitlines(keepends=True)[0]
    assert log.head == hashlib.sha256(bytes(32) + first).digest()


# ---------------------------------------------------------------- files that are full


def test_full_files_are_numbered_and_the_chain_runs_through_them(tmp_path):
    log = filled(tmp_path, 20, segment=1000)
    assert len(segments(tmp_path)) >= 4
    assert verify(tmp_path)[:3] == (20, log.head, 20)
    segments(tmp_path)[1].write_bytes(b"")
    with pytest.raises(LogBroken):
        verify(tmp_path)


def test_a_crash_between_the_two_renames_of_a_full_file_is_repaired(tmp_path):
    log = filled(tmp_path, 6, segment=1000)
    last = segments(tmp_path)[-1]
    (tmp_path / RECORDS).unlink()
    (tmp_path / PAYLOADS).unlink()
    last.rename(tmp_path / RECORDS)  # its payloads have been renamed, it has not
    sink = FileSink(tmp_path)
    sink.close()
    assert sink.tail.block == int(last.stem.split("-")[1])
    assert last.exists()
    assert verify(tmp_path).block <= log.seq


def test_archives_hold_everything_and_the_chain_still_verifies(tmp_path):
    log = filled(tmp_path, 20, segment=1000)
    written = archive.seal(tmp_path)
    assert written
    assert len(segments(tmp_path)) == 1  # whoever starts here reads where the chain goes on
    assert verify(tmp_path)[:3] == (20, log.head, 20)
    assert archive.check_payloads(tmp_path) == (20, 0)
    table = pd.read_parquet(tmp_path / "sealed")
    assert table["id"].tolist() == [f"r{k}" for k in range(len(table))]
    assert [list(map(str, row)) for row in table["received"][:2]] == [["0.0", "nan"], ["1.0", "nan"]]
    assert table["used"][1].tolist() == [1.0, 1.0]
    assert table["body"][1] == '{"id":"r1"}'
    assert filled(tmp_path, 21).seq == 21
    assert archive.seal(tmp_path) == []


@pytest.mark.parametrize("column", ["line", "seal"])
def test_an_archive_that_was_changed_is_noticed(tmp_path, column):
    filled(tmp_path, 20, segment=1000)
    path = archive.seal(tmp_path)[0]
    table = pd.read_parquet(path)
    at = table[column].first_valid_index()
    table.loc[at, column] = table.loc[at, column].replace(b"1", b"2", 1)
    table.to_parquet(path)
    with pytest.raises(LogBroken, match=r"\.parquet"):
        verify(tmp_path)


def test_a_payload_is_erased_wherever_it_lies_and_the_records_stay(tmp_path):
    filled(tmp_path, 20, segment=1000)
    archive.seal(tmp_path)
    for k in (0, 19):
        assert archive.erase(tmp_path, f"r{k}", START) == 1
        assert archive.erase(tmp_path, f"r{k}", START) == 0
        decision, payload = archive.find(tmp_path, f"r{k}")
        assert (decision.seq, payload.body, payload.received) == (k, None, None)
    assert verify(tmp_path).seq == 20
    assert archive.check_payloads(tmp_path) == (18, 2)
    assert not any(b'"r0"' in path.read_bytes() for path in tmp_path.rglob("payloads*"))
    with pytest.raises(KeyError):
        archive.find(tmp_path, "r20")


def test_a_payload_that_was_exchanged_is_noticed(tmp_path):
    filled(tmp_path, 3)
    path = tmp_path / PAYLOADS
    other = path.read_bytes().replace(*(b64encode(packed([k, float("nan")])) for k in (2.0, 3.0)))
    assert other != path.read_bytes()
    path.write_bytes(other)
    verify(tmp_path)  # the chain knows digests only
    with pytest.raises(LogBroken, match="another than was written"):
        archive.check_payloads(tmp_path)
    path.write_bytes(b"\n".join(path.read_bytes().splitlines()[:2]) + b"\n")
    with pytest.raises(LogBroken, match="gone"):
        archive.check_payloads(tmp_path)


def test_an_archive_without_the_lines_of_its_payloads_is_no_evidence_and_no_traceback(tmp_path):
    filled(tmp_path, 20, segment=1000)
    path = archive.seal(tmp_path)[0]
    pd.read_parquet(path).drop(columns=["written", "entity"]).to_parquet(path)  # as an earlier release sealed it
    with pytest.raises(LogBroken, match="not there as it was written"):
        archive.check_payloads(tmp_path)
    assert archive.erase(tmp_path, "r0", START) == 1
    assert "written" not in pd.read_parquet(path).columns


def test_a_log_is_not_called_broken_while_it_is_being_written_to(tmp_path):
    filled(tmp_path, 3)
    with (tmp_path / PAYLOADS).open("ab") as payloads:
        payloads.write(b'{"seq":3,"received":[3')  # its record comes after it
    assert archive.check_payloads(tmp_path) == (3, 0)


def test_retention_deletes_what_is_old_and_the_chain_begins_later(tmp_path):
    log = filled(tmp_path, 20, segment=1000)
    archive.seal(tmp_path)
    first = archive.archived(tmp_path)[0].path
    rows = len(pd.read_parquet(first))
    assert archive.retain(tmp_path, START + rows) == [first]
    assert verify(tmp_path)[:3] == (20, log.head, 20)
    assert archive.retain(tmp_path, START) == []
    archive.archived(tmp_path)[0].path.unlink()  # by other hands
    with pytest.raises(LogBroken):
        verify(tmp_path)


# ---------------------------------------------------------------- a sink that fails


class Disk:
    """Full, stalled or fine, as the test says."""

    def __init__(self):
        self.blocks = []
        self.state = "fine"

    def __call__(self, records, payloads):
        if self.state == "full":
            raise OSError(28, "No space left on device")
        if self.state == "stalled":
            return asyncio.get_running_loop().create_future()
        self.blocks.append((records, payloads))
        return None


def log_on(disk, **options):
    return DecisionLog(
        HandClock(), sink=disk, **{"rows": 4, "wait_ns": 0, "ring": 100, "patience_ns": 10 * MS} | options
    )


@pytest.mark.parametrize("trouble", ["full", "stalled"])
def test_what_could_not_be_written_waits_and_is_written_later_in_order(trouble):
    async def body():
        disk = Disk()
        log = log_on(disk)
        disk.state = trouble
        for k in range(6):
            log.append(*entry(k))
            assert not await log.committed()
        assert (log.failing, log.failures, log.lost, disk.blocks) == (True, 6, 0, [])
        disk.state = "fine"
        log.append(*entry(6))
        assert await log.committed()
        assert not log.failing
        lines = b"".join(records for records, _ in disk.blocks).splitlines()
        assert [json.loads(line)["seq"] for line in lines if not line.startswith(b'{"block"')] == list(range(7))
        await log.close()

    run(body())


def test_a_backlog_is_bounded_and_what_is_lost_is_counted_in_the_next_seal():
    async def body():
        disk = Disk()
        log = log_on(disk, backlog=8)
        disk.state = "full"
        for k in range(12):
            log.append(*entry(k))
        assert (log.lost, log.seq) == (4, 8)
        disk.state = "fine"
        assert not await log.committed()  # what was lost must not be told to have been written
        log.append(*entry(8))
        assert await log.committed()
        assert msgspec.json.decode(disk.blocks[-1][0].splitlines()[-1])["lost"] == 4
        await log.close()

    run(body())


def test_a_block_that_was_written_in_part_is_taken_back(tmp_path):
    filled(tmp_path, 2)
    before = (tmp_path / RECORDS).read_bytes(), (tmp_path / PAYLOADS).read_bytes()
    sink = FileSink(tmp_path)

    class Half:
        def __init__(self, file):
            self.file, self.calls = file, 0

        def write(self, data):
            self.calls += 1
            if self.calls > 1:
                raise OSError(28, "No space left on device")
            return self.file.write(data[: len(data) // 2])

        def truncate(self, size):
            self.file.truncate(size)

        def close(self):
            self.file.close()

    sink._records = Half(sink._records)
    with pytest.raises(OSError, match="No space"):
        sink(b'{"seq":2}\n{"block":3}\n', b'{"seq":2}\n')
    sink.close()
    assert ((tmp_path / RECORDS).read_bytes(), (tmp_path / PAYLOADS).read_bytes()) == before


# ---------------------------------------------------------------- in the service


def test_a_reply_leaves_after_its_record_is_written_together_with_its_group(harness, tmp_path):
    async def body():
        h = harness(decision_log=str(tmp_path))
        pending = [asyncio.create_task(h.infer(ROW, request_id=f"r{k}")) for k in range(3)]
        assert [(await task)[0] for task in pending] == [200, 200, 200]
        tail = verify(tmp_path)
        assert (tail.seq, tail.block) == (3, 1)
        decision, payload = archive.find(tmp_path, "r1")
        assert (decision.bundle, decision.source) == (h.service.releases.champion.tag, "model")
        assert (payload.used, payload.entity) == (None, ROW["customer"])
        await h.service.log.close()

    run(body())


def test_a_group_waits_while_more_come_for_a_millisecond_at_the_most():
    async def body():
        disk, clock = Disk(), HandClock()
        log = DecisionLog(clock, sink=disk, rows=100, wait_ns=MS, ring=100)

        async def come(k):
            log.append(*entry(k))
            return await log.committed()

        alone = asyncio.create_task(come(0))
        for _ in range(4):
            await asyncio.sleep(0)
        assert len(disk.blocks) == 1  # no time has passed
        tasks = [alone]
        for k in range(1, 8):  # one more in every turn of the loop
            tasks.append(asyncio.create_task(come(k)))
            await asyncio.sleep(0)
            assert len(disk.blocks) == 1
        clock._now += MS  # and the loop has not turned meanwhile
        tasks.append(asyncio.create_task(come(8)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(disk.blocks) == 2
        assert all(await asyncio.gather(*tasks))
        await log.close()

    run(body())


def test_a_body_is_kept_word_for_word_unless_its_values_say_all_of_it(harness, tmp_path):
    async def body():
        h = harness(decision_log=str(tmp_path))
        for name, row in (("first", ROW), ("ordinary", ROW), ("odd", {**ROW, "amount": None})):
            assert (await h.infer(row, request_id=name))[0] == 200
        kept = {name: archive.find(tmp_path, name)[1] for name in ("ordinary", "odd")}
        assert kept["ordinary"].body is None
        received = unpacked(kept["ordinary"].received)
        assert (received[0], received[2]) == (ROW["amount"], METHODS.index(ROW["method"]))
        assert json.loads(kept["odd"].body)["id"] == "odd"
        assert kept["odd"].entity == ROW["customer"]
        await h.service.log.close()

    run(body())


def test_a_record_says_what_came_and_what_was_used_instead(harness, tmp_path):
    async def body():
        h = harness(decision_log=str(tmp_path))
        answer = asyncio.create_task(h.infer({**ROW, "amount": None}, request_id="n"))
        await h.clock.advance(SECOND)
        assert (await answer)[0] == 200
        decision, payload = archive.find(tmp_path, "n")
        assert (decision.source, decision.reasons) == ("default", "null:amount")
        assert [str(unpacked(values)[0]) for values in (payload.received, payload.used)] == ["nan", "50.0"]
        await h.service.log.close()

    run(body())


@pytest.mark.parametrize(("configured", "status"), [("answer", 200), ("refuse", 503)])
def test_a_full_disk_stops_nobody_unless_told_so_and_pages(harness, configured, status):
    async def body():
        disk = Disk()
        h = harness(seams={"decision_log": lambda _: disk}, on_log_failure=configured)
        answer = asyncio.create_task(h.infer(ROW))
        await h.clock.advance(SECOND)
        assert (await answer)[0] == 200
        disk.state = "full"
        answer = asyncio.create_task(h.infer(ROW))
        await h.clock.advance(SECOND)
        assert (await answer)[0] == status
        h.tick()
        await h.clock.advance(SECOND)
        assert [a["labels"]["severity"] for a in h.alerts(name="decision_log_failing")] == ["page"]
        assert h.service.log.failures == 2  # the tick tried again
        disk.state = "fine"
        await h.clock.advance(SECOND)
        await h.service.log.close()

    run(body())


# ---------------------------------------------------------------- anomaly


def test_the_anomaly_score_is_the_mean_surprise_of_the_cells():
    bundle, score = LinearBundle(), Anomaly()
    usual = [5.0, 5.0, 0.0, 0.0, 5.0]
    shares = [0.1, 0.1, 0.6, 0.8, 0.1]
    expected = -sum(map(_log2, shares)) / 5
    assert score(bundle, [np.array(usual)]) == [round(expected, 3)]
    odd = [np.array(row) for row in (usual, [99.5, 5.0, 2.0, 1.0, 5.0], [float("nan")] * 5)]
    together = score(bundle, odd)
    assert together[0] < together[1] < together[2]
    assert together == [score(bundle, [row])[0] for row in odd]
    assert bits_of(bundle)[0, 255] == pytest.approx(-_log2(0.5 / 50_000))  # never seen in training: half a row


def _log2(share):
    from math import log2

    return log2(share)


def test_every_record_has_its_anomaly_score(harness):
    async def body():
        h = harness()
        for amount in (20.0, 30.0, 99_999.0):
            await h.infer({**ROW, "amount": amount})
        first, second, odd = (d.anomaly for d in h.service.log.recent(100))
        assert 0 < first == second < odd

    run(body())


# ---------------------------------------------------------------- what operators type


def test_the_audit_command_says_whole_or_broken_and_knows_a_head_that_was_cut_off(tmp_path, capsys):
    log = filled(tmp_path, 20, segment=1000)
    assert audit.main([str(tmp_path)]) == 0
    assert (
        f"whole: 20 blocks, 20 decisions, 20 payloads (0 erased), 0 lost\nhead {log.head.hex()}"
        in capsys.readouterr().out
    )
    assert audit.main([str(tmp_path), "--seal"]) == 0
    assert audit.main([str(tmp_path), "--erase", "r3"]) == 0
    assert "19 payloads (1 erased)" in capsys.readouterr().out
    assert audit.main([str(tmp_path), "--head", log.head.hex()]) == 0
    (tmp_path / RECORDS).write_bytes(b"")
    segments(tmp_path)[-1].unlink()  # a chain cannot show that its end is missing …
    (tmp_path / PAYLOADS).write_bytes(b"")
    assert audit.main([str(tmp_path)]) == 0
    assert audit.main([str(tmp_path), "--head", log.head.hex()]) == 1  # … but whoever has seen its head can
    assert audit.main([str(tmp_path), "--delete-before", "2100-01-01"]) == 0
    assert audit.main([str(tmp_path / "nowhere")]) == 2
    archive.seal(tmp_path)
    (tmp_path / RECORDS).write_bytes(b'{"block":1}\n')
    assert audit.main([str(tmp_path)]) == 1
    assert "BROKEN" in capsys.readouterr().out


def test_the_audit_command_audits_each_worker_of_a_folder_and_says_which_is_broken(tmp_path, capsys):
    one = filled(tmp_path / "worker-0", 3)
    two = filled(tmp_path / "worker-1", 5)
    assert audit.main([str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "3 decisions" in said
    assert "5 decisions" in said
    for log in (one, two):
        assert audit.main([str(tmp_path), "--head", log.head.hex()]) == 0
    assert audit.main([str(tmp_path), "--head", "00" * 32]) == 1
    capsys.readouterr()
    (tmp_path / "worker-0" / RECORDS).write_bytes(b'{"block":1}\n')  # the first: the last must not hide it
    assert audit.main([str(tmp_path)]) == 1
    assert f"BROKEN: {tmp_path / 'worker-0'}" in capsys.readouterr().out

"""Who sends what: a plan cut for a fleet is the plan, and what a fleet reports is the history of one process."""

import asyncio
import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st
from main_run import main_spec

from simulator.drivers.answer import Answer as WireAnswer
from simulator.drivers.live import Sockets
from simulator.drivers.locust.fleet import Fleet
from simulator.drivers.locust.frames import (
    Done,
    Entry,
    Frame,
    Go,
    Halt,
    Hello,
    Job,
    Lost,
    Parcel,
    Report,
    Shipment,
    Sync,
    Synced,
    framed,
    pack,
    unpack,
)
from simulator.drivers.locust.launch import FLEET, NoFleet, environment, trial
from simulator.drivers.locust.shards import PARCEL, parcels, worker_of
from simulator.drivers.record import Planned
from simulator.drivers.spec import RunSpec
from simulator.drivers.voyage import Sent, Voyage
from simulator.history.read import column_digests
from simulator.history.schema import Outcome
from simulator.scenario.load import load
from simulator.scenario.quantities import SECOND

LIVE = Path(__file__).parents[2] / "live"


def plan_of(n: int) -> list[Planned]:
    return [Planned(k, f"main-{k}", k // 3, b"%d" % k, None, (), 0.0) for k in range(n)]


@given(n=st.integers(0, 4 * PARCEL), workers=st.integers(1, 9), cuts=st.lists(st.integers(0, 4 * PARCEL), max_size=4))
def test_shards_are_a_partition_in_order_however_they_are_shipped(n, workers, cuts):
    plan = plan_of(n)
    marks = sorted({0, n, *(cut for cut in cuts if cut < n)})
    shards: dict[int, list[Shipment]] = {worker: [] for worker in range(workers)}
    for first, last in pairwise(marks):
        for worker, shipments in parcels(plan, workers, first, last):
            assert 0 < len(shipments) <= PARCEL
            shards[worker] += shipments
    sent = [shipment for shard in shards.values() for shipment in shard]
    assert sorted(s.request for s in sent) == list(range(n))  # each, once
    assert {s.request: (s.scheduled_ns, s.body) for s in sent} == {
        k: (planned.scheduled_ns, planned.body) for k, planned in enumerate(plan)
    }
    for worker, shard in shards.items():
        ordinals = [s.request for s in shard]
        assert ordinals == sorted(ordinals)
        assert all(worker_of(k, workers) == worker for k in ordinals)
    sizes = [len(shard) for shard in shards.values()]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    "frame",
    [
        Hello(4), Job("r", "fleet main", "http://127.0.0.1:1", "/predict", ((b"a", b"b"),), 2, (422,)), Go(-1), Halt(),
        Parcel(1, (Shipment(1, 2, b"\x00{}"),), last=True), Sync(), Synced((1, 2)), Done("r", 1, 3), Lost(-1),
        Report("r", 1, (Entry(1, 2, 3, 4, 200, 5, b"{}", -1),)),
    ],
)  # fmt: skip
def test_frames_arrive_as_they_were_sent(frame):
    assert unpack(pack(frame)) == frame
    assert framed(frame) == len(pack(frame)).to_bytes(4, "big") + pack(frame)


# ---------------------------------------------------------------- merging


def spec_in(folder: Path, *, seconds: int = 4) -> RunSpec:
    (cell,) = load(LIVE / "fleet.scenario.yaml")
    given = cell.scenario.given
    short = given.model_copy(update={"traffic": given.traffic.model_copy(update={"length": seconds * SECOND})})
    scenario = cell.scenario.model_copy(update={"given": short, "when": ()})
    path = LIVE / "targets" / "plain.target.yaml"
    return main_spec(cell, path, folder, "locust", scenario=scenario)


def answered(k: int, planned: Planned, sent_ns: int = 0) -> Entry:
    """What a service with a mind of its own made of it: a function of the request alone."""
    at = planned.scheduled_ns + 1 + sent_ns
    digest = crc32(planned.body)
    if k % 17 == 3:
        return Entry(k, at, -1, at + 7, 0, digest, b"", int(Outcome.TIMEOUT))
    if k % 5 == 1:
        return Entry(k, at, at + 3, at + 4, 422, digest, b"{}", -1)
    return Entry(k, at, at + 2, at + 5, 200, digest, b'{"score": 0.%d}' % (k % 10), -1)


class Pipe:
    """The run's end of a bridge to made-up workers: what it says is heard by `far`, which answers at once."""

    def __init__(self, voyage: Voyage, workers: int, seed: int) -> None:
        self.reader = asyncio.StreamReader()
        self.shards: dict[int, list[Shipment]] = {k: [] for k in range(workers)}
        self.voyage, self.workers, self.order = voyage, workers, random.Random(seed)  # noqa: S311 - a test's own order
        self.reader.feed_data(framed(Hello(workers)))
        self.run = ""
        self.reports = self.entries

    def entries(self) -> list[Frame]:
        """Reports of a few entries each, workers and reports in any order."""
        frames: list[Frame] = []
        for worker, shard in self.shards.items():
            told = [answered(s.request, self.voyage.requests[s.request]) for s in shard]
            self.order.shuffle(told)
            frames += [Report(self.run, worker, tuple(told[i : i + 7])) for i in range(0, len(told), 7)]
        self.order.shuffle(frames)
        return frames

    def write(self, data: bytes) -> None:
        frame = unpack(data[4:])
        if isinstance(frame, Job):
            self.run = frame.run
        elif isinstance(frame, Parcel):
            self.shards[frame.worker] += frame.shipments
        elif isinstance(frame, Sync):
            self.reader.feed_data(framed(Synced((0,) * self.workers)))
        elif isinstance(frame, Go):
            for told in [*self.reports(), *(Done(self.run, k) for k in range(self.workers))]:
                self.reader.feed_data(framed(told))

    async def drain(self) -> None:
        await asyncio.sleep(0)


def voyage_in(folder: Path) -> Voyage:
    voyage = Voyage(spec_in(folder), lambda _: None, "locust")
    clock = SimpleNamespace(ns=0)

    def now() -> int:  # every look at the clock is a second later
        clock.ns += SECOND
        return clock.ns

    voyage.now = now  # type: ignore[method-assign]
    return voyage


def merged(folder: Path, workers: int, seed: int, reports=None):
    async def go():
        voyage = voyage_in(folder)
        pipe = Pipe(voyage, workers, seed)
        if reports is not None:
            pipe.reports = lambda: reports(pipe)
        fleet = Fleet(pipe.reader, pipe)
        await fleet.prepare(voyage, "http://127.0.0.1:1")
        await fleet.send(voyage)
        await fleet.finish(voyage)
        return voyage, voyage._close()

    return asyncio.run(go())


def test_what_a_fleet_reports_is_the_history_of_one_process(tmp_path, monkeypatch):
    monkeypatch.setattr("simulator.drivers.locust.fleet._LOOK_EVERY", 0)
    voyage = voyage_in(tmp_path / "single")
    for k, planned in enumerate(voyage.requests):
        told = answered(k, planned)
        failure = None if told.failure < 0 else Outcome(told.failure)
        voyage.recorder.concluded(
            Sent(
                planned, told.sent_ns, told.replied_ns, told.replied_ns, told.ended_ns, 1, told.status, told.reply,
                failure,
            )
        )  # fmt: skip
    single = column_digests(voyage._close())
    for workers in (1, 2, 3, 4, 7):
        _, history = merged(tmp_path / f"of-{workers}", workers, seed=workers)
        fleet = column_digests(history)
        assert {k: v for k, v in fleet.items() if k != "notes"} == {k: v for k, v in single.items() if k != "notes"}
        assert len(history.items["index"]) == len(voyage.requests)


def test_what_nobody_reports_is_late_and_not_the_services_fault(tmp_path, monkeypatch):
    monkeypatch.setattr("simulator.drivers.locust.fleet._LOOK_EVERY", 0)

    def without_one(pipe):
        frames = pipe.entries()
        return [replace_entries(frames[0], 1), *frames[1:]]

    def replace_entries(frame, n):
        return Report(frame.run, frame.worker, frame.entries[n:])

    voyage, history = merged(tmp_path / "one", 2, 1, without_one)
    (driver,) = (note for note in history.notes if note.kind == "driver")
    (fleet,) = (note for note in history.notes if note.kind == "fleet")
    assert driver.data["late_max_ns"] == voyage.end
    assert fleet.data["unreported"] == 1


def test_a_clock_that_goes_astray_makes_every_request_late(tmp_path, monkeypatch):
    monkeypatch.setattr("simulator.drivers.locust.fleet._LOOK_EVERY", 0)
    drift = 40 * SECOND

    def astray(pipe):
        return [*pipe.entries(), Done(pipe.run, 1, drift)]

    voyage, _ = merged(tmp_path / "run", 2, 1, astray)
    assert min(voyage.lateness) >= drift


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda frames: [frames[0], *frames], "reported twice"),
        (lambda frames: [tampered(frames[0]), *frames[1:]], "other bytes than planned"),
        (lambda frames: [frames[0], Lost(-1)], "told to stop"),
    ],
)
def test_a_fleet_is_not_taken_on_trust(tmp_path, monkeypatch, wrong, words):
    monkeypatch.setattr("simulator.drivers.locust.fleet._LOOK_EVERY", 0)
    with pytest.raises(NoFleet, match=words):
        merged(tmp_path / "run", 2, 1, lambda pipe: wrong(pipe.entries()))


def tampered(report: Report) -> Report:
    first = report.entries[0]
    values = [getattr(first, name) for name in Entry.__struct_fields__]
    values[Entry.__struct_fields__.index("digest")] ^= 1
    return Report(report.run, report.worker, (Entry(*values), *report.entries[1:]))


def test_a_run_that_must_not_go_on_stops_its_fleet(tmp_path):
    async def go():
        voyage = voyage_in(tmp_path / "run")
        pipe = Pipe(voyage, 2, 1)
        said = []
        write, pipe.write = pipe.write, lambda data: (said.append(unpack(data[4:])), write(data))
        fleet = Fleet(pipe.reader, pipe)
        await fleet.prepare(voyage, "http://127.0.0.1:1")
        voyage.sending = False
        pipe.reports = list
        await fleet.send(voyage)
        await fleet.finish(voyage)
        return voyage, said

    voyage, said = asyncio.run(go())
    assert isinstance(said[-1], Halt)
    assert voyage.lateness == []  # what was not to be sent is not late


def test_the_own_sender_is_handed_the_same_voyage(tmp_path):
    voyage = voyage_in(tmp_path / "run")
    posted = []

    async def until(_):
        pass

    voyage.until = until  # type: ignore[method-assign]
    sender = Sockets()
    sender._wire = SimpleNamespace(post=lambda body, *_: posted.append(body))
    asyncio.run(sender.send(voyage))
    assert posted == [planned.body for planned in voyage.requests]
    assert len(voyage.lateness) == len(posted)


@pytest.mark.parametrize(("status", "attempts"), [(429, 3), (500, 1), (200, 1), (422, 1)])
def test_clients_try_again_after_a_refusal_for_load_and_not_after_an_error(tmp_path, monkeypatch, status, attempts):
    """By the rule of the plan (S11); what is recorded is the last attempt."""
    monkeypatch.setattr("simulator.drivers.retry._BACKOFF", 1000)
    voyage = voyage_in(tmp_path / "run")
    traffic = voyage.spec.scenario.given.traffic.model_copy(update={"retries": 2})
    given = voyage.spec.scenario.given.model_copy(update={"traffic": traffic})
    voyage.spec = replace(voyage.spec, scenario=voyage.spec.scenario.model_copy(update={"given": given}))
    voyage.now = lambda: 7  # type: ignore[method-assign]
    concluded, sent = [], []
    voyage.recorder.concluded = concluded.append  # type: ignore[method-assign]
    sender = Sockets()

    def post(body, told, key):
        sent.append((body, key))
        told(WireAnswer(5, 6, 6, status, b'{"score": 0.5}', None))

    sender._wire = SimpleNamespace(post=post)
    sender._unanswered = 1

    async def go():
        sender._post(voyage, voyage.requests[0], 1)
        while sender._unanswered:  # noqa: ASYNC110 - one count, no event
            await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(go(), 10))
    assert [one.attempt for one in concluded] == [attempts]
    assert sent == [(voyage.requests[0].body, "")] * attempts


def test_the_trial_of_a_fleet_is_the_command_that_people_type():
    options = {
        "target": None,
        "seed": 7,
        "without": "alerts",
        "set": ["a=1", "b=2"],
        "out": "o",
        "json": True,
        "quiet": False,
    }
    command = trial(["x.scenario.yaml"], options)
    assert command[1:5] == ["-m", "simulator.cli", "run", "x.scenario.yaml"]
    assert command[5:] == [
        "--driver", "locust", "--seed", "7", "--without", "alerts", "--set", "a=1", "--set", "b=2", "--out", "o",
        "--json",
    ]  # fmt: skip
    assert environment("1:t", {"A": "b"}) == {"A": "b", FLEET: "1:t"}

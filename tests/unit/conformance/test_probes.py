"""Each probe is green on an honest service and red on the one that breaks its promise; doubt is never an accusation."""

from __future__ import annotations

import asyncio
import json
import math
import os
import subprocess
from types import SimpleNamespace

import httpx
import pytest
from harbour import (
    COLUMNS,
    COUNTRIES,
    RANGES,
    ROWS,
    Batcher,
    Knowing,
    Parts,
    RefusedError,
    Remembering,
    all_or_nothing,
    app,
    checked,
    concatenated,
    one_by_one,
    parsed,
    rotated,
    score,
    trace,
)

from simulator.conformance.bench import Bench
from simulator.conformance.berth import Berth
from simulator.conformance.fresh import Fresh
from simulator.conformance.probes import admission, control, errors, identity, isolation, readiness, workers
from simulator.conformance.suite import asked
from simulator.targets.model import Target
from simulator.verdict import Status

TARGET = Target.model_validate({
    "target": 1, "start": {"url": "http://tug.invalid", "ready": "/ready"}, "protocol": "oip-v2", "model": "tug",
    "admin": {"release": "POST /release"}, "tolerance": 1e-9,
})  # fmt: skip


def isolated(parts, anew, around=lambda inner: inner):
    """name → finding of the control and of `isolation`, also after a new start: `anew` forgets what it should."""

    async def go():
        transport = httpx.ASGITransport(around(app(parts)), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://tug.invalid") as http:
            bench = Bench(TARGET, http, ROWS)
            found = [*await control.probe(bench), *await isolation.probe(bench)]
            anew()
            found.append(await isolation.remembered(bench, Berth(TARGET, "http://tug.invalid", ("started by us",))))
            return {f.name: f for f in found}

    return asyncio.run(go())


def tried(parts, then=None, target=TARGET, rows=ROWS):
    """name → finding, of the probes that only ask, and of `then`."""

    async def go():
        transport = httpx.ASGITransport(app(parts), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://tug.invalid") as http:
            bench = Bench(target, http, rows)
            found = await asked(bench)
            found += [await readiness.probe(bench, "/ready"), *await errors.probe(bench)]
            found += await then(bench) if then else []
            return {f.name: f for f in found}

    return asyncio.run(go())


def red(found):
    return {name for name, f in found.items() if f.status is Status.FAIL}


async def swapped(bench):
    return [await identity.swap(bench, ("1", "2"), "token")]


def test_an_honest_service_is_accused_of_nothing():
    for parts in (Parts(), Parts(gather=Batcher(one_by_one))):
        found = tried(parts, swapped)
        assert {f.name: f.why for f in found.values() if f.status is not Status.PASS} == {}
        assert len(found) > 40


# ---------------------------------------------------------------- saboteurs


def by_place(body):
    name, columns = parsed(body)
    return name, dict(zip(COLUMNS, list(columns.values())[: len(COLUMNS)], strict=False))


def centred(rows):
    scores = [score(row) for row in rows]
    return [s - 0.01 * (sum(scores) / len(scores) - s) for s in scores] if len(rows) > 1 else scores


class Kept:
    """A cache whose key is too small."""

    def __init__(self, key, made=lambda rows: [score(row) for row in rows]):
        self.known, self.key, self.made = {}, key, made

    def __call__(self, rows):
        return [self.known.setdefault(self.key(row), self.made([row])[0]) for row in rows]


def first_id(parts_of={}):  # noqa: B006 - what is remembered is the point
    def reply(name, version, scores):
        kept = parts_of.setdefault(tuple(scores), name)
        return Parts().reply(kept, version, scores)

    return reply


def filling(value, when):
    """Puts a value where `when` says that something is wrong, and says nothing."""

    def check(columns):
        rows = max((len(v) for v in columns.values()), default=0)
        filled = {name: list(columns.get(name, [None] * rows)) for name in COLUMNS}
        for name, values in filled.items():
            fill = value if name in RANGES else "DE"
            filled[name] = [fill if when(name, v) else v for v in values]
        return checked(filled)

    return check


def careless(name, v):
    return v is None or type(v) is not (str if name == "country" else float)


def too_far(name, v):
    return name in RANGES and isinstance(v, float) and v > RANGES[name][1]


def unheard_of(name, v):
    return name == "country" and isinstance(v, str) and v not in COUNTRIES


def lax(body):
    document = json.loads(body)
    columns = {t["name"]: list(t["data"]) for t in document["inputs"]}
    return document.get("id", ""), columns


def lax_check(columns):
    wrong = lambda v: isinstance(v, float) and not math.isfinite(v)  # noqa: E731
    return checked({name: [0.5 if wrong(v) else v for v in values] for name, values in columns.items()})


def crash(columns):
    try:
        return checked(columns)
    except RefusedError as error:
        raise RuntimeError from error


class Dying:
    """Scores so many times, then never again."""

    def __init__(self, lives):
        self.lives = lives

    def __call__(self, rows):
        self.lives -= 1
        if self.lives < 0:
            raise RuntimeError
        return [score(row) for row in rows]


SABOTEURS = {
    "replies are mixed up": (Parts(gather=Batcher(rotated)), {"isolation.concurrent"}),
    "one bad request spoils the batch": (
        Parts(gather=Batcher(all_or_nothing)),
        {"isolation.beside_null", "isolation.beside_text_in_a_number", "isolation.beside_missing_column"},
    ),
    "short columns shift": (
        Parts(gather=Batcher(concatenated)), {"isolation.beside_columns_of_different_length"},
    ),
    "rows of one request see each other": (Parts(scored=centred), {"isolation.batched"}),
    "a bad row breaks its request": (Parts(check=crash), {"isolation.bad_row", "validation.null", "validation.empty"}),
    "columns by place": (Parts(parse=by_place), {"columns.order", "columns.names", "validation.renamed"}),
    "ids from a cache": (Parts(reply=first_id({})), {"identity.ids"}),
    "another model's name": (
        Parts(reply=lambda n, v, s: Parts().reply(n, v, s).replace(b"tug", b"ferry")), {"identity.model"},
    ),
    "any model answers": (Parts(also=("/v2/models/seatrial-no-such-model/infer",)), {"identity.unknown_model"}),
    "any version answers": (Parts(also=("/v2/models/tug/versions/9876543/infer",)), {"identity.unknown_version"}),
    "a cache that forgets a column": (
        Parts(scored=Kept(lambda row: (row["amount"], row["age"], row["country"]))), {"identity.cache"},
    ),
    "blanks are filled": (
        Parts(check=filling(0.5, careless)),
        {"validation.null", "validation.missing", "validation.renamed", "validation.text", "validation.number_as_text",
         "validation.list"},
    ),
    "ranges are cut": (Parts(check=filling(0.5, too_far)), {"validation.out_of_range"}),
    "unseen categories are filled": (Parts(check=filling(0.5, unheard_of)), {"validation.unseen_category"}),
    "NaN is a number": (
        Parts(parse=lax, check=lax_check), {"validation.nan", "validation.infinity", "validation.overflow"},
    ),
    "a strange request crashes": (Parts(parse=lax), {"validation.shape"}),
    "extra columns count": (
        Parts(check=lambda c: [r | {"risk": r["risk"] / (1 + ("seatrial_extra" in c))} for r in checked(c)]),
        {"validation.extra"},
    ),
    "stack traces": (Parts(refusal=trace), {"errors.leak"}),
    "only the first mistake is named": (
        Parts(refusal=lambda error: (422, str(error).partition(";")[0].encode())), {"validation.all_named"},
    ),
    "huge integers crash": (
        Parts(check=lambda c: checked({k: [v if k == "country" or v is None else float(v) for v in vs]
                                       for k, vs in c.items()})), {"validation.huge_integer"},
    ),
    "refusals without a word": (Parts(refusal=lambda _: (400, b"")), {"errors.body"}),
    "200 with NaN": (
        Parts(check=filling(math.nan, careless), scored=lambda rows: [score(r) for r in rows]), {"validation.null"},
    ),
    "unknown paths crash": (Parts(elsewhere=lambda *_: 500), {"errors.http", "identity.unknown_model"}),
    "ready while broken": (Parts(scored=Dying(600)), {"readiness.after"}),
}  # fmt: skip


@pytest.mark.parametrize("name", SABOTEURS)
def test_a_broken_promise_is_seen(name):
    parts, wanted = SABOTEURS[name]
    found = tried(parts)
    assert wanted <= red(found), {n: f.why for n, f in found.items() if n in wanted}
    for one in wanted:
        assert found[one].repro, "every finding can be seen again by hand"
        assert found[one].evidence


def test_versions_are_told_apart_after_a_swap():
    state = {"version": "1"}
    by_version = lambda rows: [score(r) * (0.5 if state["version"] == "2" else 1) for r in rows]  # noqa: E731
    assert "identity.swap" not in red(tried(Parts(scored=by_version, state=state), swapped))
    state = {"version": "1"}
    kept = Kept(lambda row: tuple(row.values()), made=by_version)
    by_version.__defaults__ = None
    found = tried(Parts(scored=kept, state=state), swapped)
    assert found["identity.swap"].status is Status.FAIL
    assert "asked before it was released" in found["identity.swap"].why


@pytest.mark.parametrize("whole", [True, False], ids=["by bytes", "by values"])
def test_a_cache_neither_hides_that_a_batch_mixes_nor_is_a_fault(whole):
    """What was asked alone before is answered rightly, and what was answered in company is repeated alone."""
    for batch, wrong in ((one_by_one, False), (concatenated, True)):
        bytewise, by_value = Remembering(), Knowing(Batcher(batch))
        if whole:
            found = isolated(Parts(gather=by_value.batcher), bytewise.known.clear, around=bytewise)
        else:
            found = isolated(Parts(gather=by_value), by_value.known.clear)
        seen = found["isolation.beside_renamed_column" if whole else "isolation.remembered"]
        assert (seen.status is Status.FAIL) is wrong, seen.why
        assert wrong or {f.name: f.why for f in found.values() if f.status is not Status.PASS} == {}
    assert "in company" in seen.why
    assert seen.repro


def test_what_a_cache_still_knows_is_no_recovery(monkeypatch):
    """The only worker dies after what it had begun: the cache knows that, and nobody scores anything new."""
    done = []

    def mortal(score_all, batch):
        if len(done) >= workers.ASKED:
            raise OSError
        done.extend(batch if killed else ())
        return one_by_one(score_all, batch)

    killed, knowing = [], Knowing(Batcher(mortal))
    transport = httpx.ASGITransport(app(Parts(gather=knowing)), raise_app_exceptions=False)
    monkeypatch.setattr(workers, "BACK_WITHIN", 0.3)
    monkeypatch.setattr(workers.os, "kill", lambda pid, _: killed.append(pid))

    def client(_seconds=30.0):
        return httpx.AsyncClient(transport=transport, base_url="http://tug.invalid")

    async def again():
        done.clear()

    async def go():
        async with client() as http:
            bench = Bench(TARGET, http, ROWS)
            await control.probe(bench)
            bench.alone, bench.company = bench.alone[:8], list(bench.alone[8:])  # as if these were fresh rows
            knowing.known.clear()  # started anew
            berth = SimpleNamespace(
                target=TARGET, command=("it",), process=True, running=True, children=lambda: [7], again=again,
                client=client,
            )  # fmt: skip
            return {f.case: f for f in await workers.probe(bench, berth)}

    found = asyncio.run(go())
    assert killed == [7]
    assert found["recovery"].status is Status.FAIL, found["recovery"].why


def test_who_scores_otherwise_after_every_start_is_not_accused_of_a_cache():
    learned = [0.0]
    found = isolated(
        Parts(scored=lambda rows: [score(row) + learned[0] for row in rows]), lambda: learned.__setitem__(0, 0.01)
    )
    assert found["isolation.remembered"].status is Status.UNKNOWN
    assert red(found) == set()


def test_fresh_rows_are_the_same_everywhere_and_never_the_same_twice():
    some = Fresh(ROWS, ROWS).take(500)
    assert some == Fresh(ROWS, ROWS).take(500)
    seen = {tuple(row.items()) for row in (*ROWS, *some)}
    assert len(seen) == len(ROWS) + 500
    assert all(row[name] in {parent[name] for parent in ROWS} for row in some for name in COLUMNS)
    assert len(Fresh(ROWS[:2], ROWS).take(500)) == 2**4 - 2  # each of four columns from one of two
    assert Fresh([{"a": 1}, {}], []).take(9) == [{}, {"a": 1}]


def test_strangers_at_the_control_plane_are_seen():
    async def knock(bench):
        return await admission.probe(bench, "token")

    found = tried(Parts(), knock)  # the small service lets everybody release
    assert found["admission.token"].status is Status.FAIL
    assert "without a token: 202; with another token: 202" in found["admission.token"].why
    assert found["admission.retry_after"].status is Status.UNKNOWN  # nobody is ever refused


@pytest.mark.parametrize(
    ("said", "away"),
    [("1", True), ("120", True), ("Sun, 29 Nov 2026 16:00:00 GMT", True), ("0", False), ("soon", False), ("-1", False),
     ("", False), ("1.5", False)],
)  # fmt: skip
def test_what_sends_a_caller_away(said, away):
    assert admission.later(said) is away


# ---------------------------------------------------------------- no false accusation


def test_a_service_that_is_not_deterministic_is_doubted_and_not_accused():
    calls = iter(range(10**9))
    found = tried(Parts(scored=lambda rows: [score(r) + next(calls) * 1e-6 for r in rows]))
    assert found["control.alone"].status is Status.UNKNOWN
    assert red(found) == set()


def test_noise_within_the_declared_tolerance_is_no_difference():
    calls = iter(range(10**9))
    noisy = Parts(scored=lambda rows: [score(r) + next(calls) % 7 * 1e-6 for r in rows])
    target = TARGET.model_copy(update={"tolerance": 1e-5})
    found = tried(noisy, target=target)
    assert {f.name: f.why for f in found.values() if f.status is not Status.PASS} == {}


def test_a_single_wrong_answer_is_doubt_and_no_finding():
    calls = iter(range(10**9))
    found = tried(Parts(scored=lambda rows: [score(r) + (next(calls) == 100) for r in rows]))
    assert found["isolation.concurrent"].status is Status.UNKNOWN
    assert red(found) == set()


def test_rows_that_the_service_refuses_are_no_ground_for_accusations():
    found = tried(Parts(), rows=[{"wrong": 1.0, "rows": "x"}] * 5)
    assert red(found) == set()
    assert "missing: amount" not in found["control.alone"].why
    assert "status 422" in found["control.alone"].why


def test_what_the_sample_holds_is_legal():
    """A service that knows what to do with a null is not accused of it, if the sample shows that nulls are sent."""
    parts = Parts(check=filling(0.5, lambda name, v: name == "risk" and v is None))
    assert "validation.null" in red(tried(parts))
    found = tried(parts, rows=[*ROWS, {**ROWS[0], "risk": None}])
    assert found["validation.null"].status is Status.PASS


def test_one_row_at_a_time_is_a_limit_and_no_fault():
    def single(columns):
        rows = checked(columns)
        if len(rows) > 1:
            raise RefusedError("one row at a time")
        return rows

    found = tried(Parts(check=single))
    assert found["isolation.batched"].status is Status.UNKNOWN
    assert red(found) == set()


def test_workers_are_known_by_what_they_run():
    """Two that start side by side have their pids in any order; each must be killed once, and none twice."""
    later, sooner = (subprocess.Popen(["sleep", seconds]) for seconds in ("62", "61"))  # noqa: S607 - wherever it is
    try:
        berth = Berth(TARGET, "http://tug.invalid", process=SimpleNamespace(pid=os.getpid()))
        ours = [pid for pid in berth.children() if pid in {later.pid, sooner.pid}]
        assert ours == [sooner.pid, later.pid]
    finally:
        for process in (later, sooner):
            process.kill()
            process.wait()

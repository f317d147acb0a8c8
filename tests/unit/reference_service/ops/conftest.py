"""A bundle in memory with a model simple enough to be right by eye, and a service on a clock that is set by hand."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
import math

import httpx
import msgspec
import numpy as np
import pytest

from reference_service import bundle as bundles
from reference_service import composition
from reference_service.api.http import Edge
from reference_service.bundle import BundleError, Golden, Profile
from reference_service.contract import Contract, Field
from reference_service.core.cells import N_CELLS, NULL_CELL, UNSEEN_CELL
from reference_service.features import FeatureStore
from reference_service.monitor.http_post import HttpPost
from reference_service.release.store import Store
from reference_service.settings import read

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
START = 1_700_000_000 * SECOND  # any whole second
METHODS = ("card", "wallet", "transfer")
FIELDS = (
    Field(name="amount", kind="number", minimum=0.0, maximum=100_000.0, default=50.0, on_null="default",
          on_invalid="reject", on_alert="default", aliases=("amt",)),
    Field(name="age_days", kind="integer", minimum=0.0, maximum=10_000.0, on_null="model", on_invalid="default",
          default=10.0),
    Field(name="method", kind="category", categories=METHODS, default="card", on_null="default", on_alert="fallback"),
    Field(name="foreign", kind="boolean", on_null="reject"),
    Field(name="spent", kind="number", origin="store", default=100.0, on_null="default"),
)  # fmt: skip
CUTS = np.array([1, 11, 21, 31, 41, 51, 61, 71, 81, 91, 99], dtype=float)  # amounts are uniform on [0, 100)


class LinearBundle:
    """Speaks the protocol of `Bundle`: margin = amount / 100 + foreign - method, null counts as 0."""

    def __init__(self, version="v1", fields=FIELDS, policy=None, bias=0.0):
        self.version = version
        self.bias = bias
        self.blocks = 1
        self.digest = (version.encode().hex() + "0" * 64)[:64]
        self.contract = Contract(model="payments", version=version, entity="customer", fields=fields)
        self.policy = {"review_from": 0.6, "block_from": 0.8, **(policy or {})}
        shares = np.zeros((len(fields), N_CELLS))
        shares[0, :12] = np.diff(np.concatenate([[0], CUTS, [100]])) / 100
        shares[1, :12] = shares[4, :12] = [0.02, *[0.1] * 9, 0.08, 0]  # whole numbers from 0 to 99
        shares[2, :3] = (0.6, 0.3, 0.1)
        shares[3, :2] = (0.8, 0.2)
        self.profile = Profile(
            n_reference=50_000,
            cell_shares=shares,
            hourly_n=np.zeros(24, dtype=np.int64),
            hourly_shares=np.tile(shares, (24, 1, 1)),
            null_shares=np.zeros(len(fields)),
            typical=np.array([45.0, 10.0, 0.0, 0.0, 100.0]),
            score_deciles=np.quantile([self._usual(k) for k in range(2000)], np.arange(1, 10) / 10),
            calibration_cuts=np.array([0.25, 0.5, 0.75]),
            calibration=np.array([0.125, 0.375, 0.625, 0.875]),
            positive_rate=0.1,
            brier=0.05,
            auc=0.8,
            fallback_field="method",
            fallback_rates={"card": 0.1, "wallet": 0.2, "transfer": 0.3},
            fallback_otherwise=0.15,
        )
        rows = [[10.0 * k, 3.0, float(k % 3), float(k % 2), 1.0] for k in range(8)]
        self.golden = Golden(rows, [self.score(np.array(row)) for row in rows])

    def _usual(self, k):
        row = plain(k)
        margin = row["amount"] / 100 + row["foreign"] - METHODS.index(row["method"]) + self.bias
        return self.probability(margin)

    def new_counts(self):
        return np.zeros((len(self.contract.fields), N_CELLS), dtype=np.int64)

    def score(self, values):
        known = np.nan_to_num(values, nan=0.0)
        return float(known[0] / 100 + known[3] - known[2] + self.bias)

    def scores(self, values):
        return [self.score(row) for row in values]

    def encode(self, values, codes):
        codes[:] = self.codes(values)

    def mean_over_fields(self, values, table):
        places = self.codes(values) + np.arange(len(self.contract.fields)) * 256
        return np.add.reduce(table[np.ascontiguousarray(places.T)], axis=0) / len(self.contract.fields)

    def codes(self, values):
        out = np.empty(values.shape, dtype=np.uint8)
        for j, field in enumerate(self.contract.fields):
            column = values[:, j]
            if field.kind in {"number", "integer"}:
                out[:, j] = np.searchsorted(CUTS, column)
            else:
                out[:, j] = np.where(column < 0, 254, np.nan_to_num(column))
            out[np.isnan(column), j] = 255
        return out

    def cells(self):
        of_codes = np.minimum(np.arange(256), NULL_CELL - 1)
        of_codes[[255, 254]] = NULL_CELL, UNSEEN_CELL
        return np.tile(of_codes, (len(self.contract.fields), 1))

    def count(self, values, counts):
        for j, (cells, codes) in enumerate(zip(self.cells(), self.codes(values).T, strict=True)):
            counts[j] += np.bincount(cells[codes], minlength=N_CELLS)

    def probability(self, margin):
        return 1 / (1 + math.exp(-margin))

    def fallback(self, category):
        return self.profile.fallback_rates.get(category, self.profile.fallback_otherwise)


class HandClock:
    """Time moves when the test says so. Sleepers wake in order, on the loop's next turns."""

    def __init__(self):
        self._now = START
        self._heap = []
        self._sequence = itertools.count()

    def now_ns(self):
        return self._now

    async def sleep(self, ns):
        if ns > 0:
            woken = asyncio.get_running_loop().create_future()
            heapq.heappush(self._heap, (self._now + ns, next(self._sequence), woken))
            await woken
        else:
            await asyncio.sleep(0)

    async def advance(self, ns):
        await settle()
        until = self._now + ns
        while self._heap and self._heap[0][0] <= until:
            due, _, woken = heapq.heappop(self._heap)
            self._now = max(self._now, due)
            if not woken.done():
                woken.set_result(None)
            await settle()
        self._now = until
        await settle()


async def settle():
    for _ in range(30):
        await asyncio.sleep(0)


class Harness:
    """A composed service, its clock, and what its receivers got."""

    def __init__(self, service, clock, sent):
        self.service = service
        self.clock = clock
        self.sent = sent
        self.edge = Edge(service)
        self.serial = itertools.count()
        self.down = False

    def alerts(self, route="alertmanager", name=None):
        found = [body["alerts"][0] for where, body in self.sent if where == route == "alertmanager"]
        found = [a for a in found if a["labels"]["alertname"] != "Watchdog"]
        return [a for a in found if name is None or a["labels"]["alertname"] == name]

    async def call(self, method, path, body=b"", *, token="secret", chunks=None, before=None, left=None, headers=()):  # noqa: S107 - a test's
        sent = []
        parts = list(chunks or [body])

        async def receive():
            if before is not None:
                await before()
            if not parts:
                await (left or asyncio.Event()).wait()
                return {"type": "http.disconnect"}
            part = parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(parts)}

        async def send(message):
            sent.append(message)

        path, _, query = path.partition("?")
        headers = [*headers, *([(b"authorization", b"Bearer " + token.encode())] if token else [])]
        scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": headers}
        await self.edge(scope, receive, send)
        if not sent:  # the client has left
            return 0, b""
        self.headers = dict(sent[0]["headers"])
        return sent[0]["status"], b"".join(m.get("body", b"") for m in sent[1:])

    async def infer(self, *rows, request_id=None, **options):
        body = encode(rows, request_id or f"main-{next(self.serial)}")
        status, reply = await self.call("POST", "/v2/models/payments/infer", body, **options)
        return status, json.loads(reply)

    async def one(self, row, **options):
        """(source, reasons, score, decision) of a row that must be answered."""
        status, reply = await self.infer(row, **options)
        assert status == 200, reply
        outputs = {output["name"]: output["data"][0] for output in reply["outputs"]}
        return outputs["source"], outputs["reasons"], outputs["score"], outputs["decision"]

    async def traffic(self, seconds, row, per_second=10):
        """Steady traffic while ticks happen at multiples of ten seconds."""
        for second in range(seconds):
            if second % 10 == 0 and second:
                self.tick()
            for k in range(per_second):
                await self.infer(row(second * per_second + k))
            await self.clock.advance(SECOND)
        self.tick()
        await settle()

    def tick(self):
        self.service.tick(self.service, self.clock.now_ns())


ROW = {"customer": 7, "amount": 40.0, "age_days": 12, "method": "card", "foreign": False}


def plain(k):
    """Rows as the reference has them: amounts and ages uniform, methods in their shares."""
    u = (k * 0.6180339887498949) % 1
    v = (k * 0.7548776662466927) % 1
    method = METHODS[0 if v < 0.6 else 1 if v < 0.9 else 2]
    foreign = (k * 0.5698402909980532) % 1 < 0.2
    return {"customer": k % 1000, "amount": u * 100, "age_days": int(v * 100), "method": method, "foreign": foreign}


def encode(rows, request_id="r"):
    names = list(dict.fromkeys(name for row in rows for name in row))
    inputs = [{"name": n, "shape": [len(rows)], "datatype": "X", "data": [r.get(n) for r in rows]} for n in names]
    return json.dumps({"id": request_id, "inputs": inputs}).encode()


@pytest.fixture
def versions(monkeypatch):
    """Bundles by version; a value that is an exception is raised on loading."""
    known = {"v1": LinearBundle("v1"), "v2": LinearBundle("v2", bias=0.1)}

    def load(path, *, digest=None):
        # A registry of files calls a bundle by its digest.
        by_digest = {bundle.digest: bundle for bundle in known.values() if isinstance(bundle, LinearBundle)}
        asked = path.name if digest is None else digest
        found = known.get(asked) or by_digest.get(asked.strip(".")[:64], BundleError("missing", "no such version"))
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(bundles, "load", load)
    return known


@pytest.fixture
def spent():
    """The feature store's table; the columns are (spent,)."""
    return {customer: (float(customer % 100),) for customer in range(1000)}


@pytest.fixture
def harness(versions, spent, monkeypatch):
    """A factory: settings and seams in, a `Harness` out."""
    monkeypatch.setattr(composition.stores, "load", lambda _: FeatureStore(("spent",), spent))

    assert "v1" in versions

    def build(seams=None, **settings):
        clock = HandClock()
        sent = []
        made = []

        def receive(request):
            if made and made[0].down:
                raise httpx.ConnectError("down")
            sent.append((request.url.path.strip("/"), msgspec.json.decode(request.content)))
            return httpx.Response(200)

        urls = {route: f"http://sink/{route}" for route in ("alertmanager", "slack", "pagerduty")}
        chosen = {"bundles": "b", "token": "secret", "alerts": urls, "feature_store": "f", **settings}
        client = httpx.AsyncClient(transport=httpx.MockTransport(receive))
        service = composition.compose(read(chosen), clock, seams or {}, HttpPost(client))
        made.append(Harness(service, clock, sent))
        return made[0]

    return build


def run(scenario):
    """Run one asynchronous test body on a loop of its own."""
    return asyncio.run(scenario)


@pytest.fixture
def shared(harness, tmp_path, monkeypatch):
    """A factory of services on one registry, each following it."""

    async def at_once(call, *arguments):  # the clock stands still while a thread works
        return call(*arguments)

    monkeypatch.setattr(asyncio, "to_thread", at_once)
    for version in ("v1", "v2", "v3"):
        (tmp_path / "bundles" / version).mkdir(parents=True)
        (tmp_path / "bundles" / version / "manifest.json").write_text(version)

    def build(seams=None, **settings):
        folders = {"bundles": str(tmp_path / "bundles"), "registry": str(tmp_path / "registry")}
        h = harness(seams, **folders, **settings)
        h.following = asyncio.get_running_loop().create_task(h.service.follower.follow(h.clock))
        return h

    build.store = Store(tmp_path / "registry")
    return build

"""A replica is killed and Redis is restarted under load: what was acknowledged is in a log, and nothing twice."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import tarfile
import time
from collections import Counter

import httpx
import pytest

from benchmarks.service import bodies
from reference_service.audit.files import RECORDS, segments
from reference_service.audit.verify import verify

pytestmark = pytest.mark.usefixtures("images")
PATH = "/v2/models/payments/infer"
CLIENTS, PAUSE, PATIENCE = 16, 0.1, 60.0
AGAIN = 5  # every fifth is asked again later, as a client that lost the answer would
LOG = "/var/lib/seatrial/decisions"


@pytest.fixture
def stack(compose):
    """(URL of the proxy, its containers by service)."""
    import docker

    project = "seatrial-loss"
    ports = {}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        ports["PROXY_PORT"] = str(probe.getsockname()[1])
    engine = docker.from_env()
    try:
        compose("up", "-d", "proxy", project=project, **ports)
        found = engine.containers.list(all=True, filters={"label": f"com.docker.compose.project={project}"})
        yield (
            f"http://127.0.0.1:{ports['PROXY_PORT']}",
            {each.labels["com.docker.compose.service"]: each for each in found},
        )
    finally:
        compose("down", "--volumes", "--timeout", "5", project=project, **ports)


class Load:
    """Clients that ask until they are answered, each request under its own key."""

    def __init__(self, url, sent):
        self.url, self.sent = url, sent
        self.answers = {}  # number of the request → its first answer
        self.others = []  # numbers of requests whose second answer was another one
        self.troubles = Counter()

    async def ask(self, http, number):
        end = time.monotonic() + PATIENCE
        headers = {"idempotency-key": f"payment-{number}"}
        while time.monotonic() < end:
            try:
                reply = await http.post(PATH, content=self.sent[number], headers=headers)
            except httpx.TransportError as error:
                self.troubles[type(error).__name__] += 1
            else:
                if reply.status_code == 200:
                    return reply.content
                self.troubles[reply.status_code] += 1
            await asyncio.sleep(PAUSE)
        raise AssertionError(f"request {number} had no answer within {PATIENCE:.0f} s: {self.troubles}")

    async def client(self, which):
        async with httpx.AsyncClient(base_url=self.url, timeout=10) as http:
            for number in range(which, len(self.sent), CLIENTS):
                self.answers[number] = await self.ask(http, number)
                earlier = number - AGAIN * CLIENTS
                if earlier >= 0 and number % AGAIN == 0 and await self.ask(http, earlier) != self.answers[earlier]:
                    self.others.append(earlier)
                await asyncio.sleep(PAUSE)

    async def run(self, *disturbances):
        await asyncio.gather(*(self.client(k) for k in range(CLIENTS)), *disturbances)


async def disturb(containers):
    replica, redis = containers["replica-1"], containers["redis"]
    await asyncio.sleep(2)
    await asyncio.to_thread(replica.kill)  # SIGKILL: no drain, no last write
    await asyncio.sleep(1)
    await asyncio.to_thread(replica.start)
    await asyncio.sleep(2)
    await asyncio.to_thread(redis.restart, timeout=5)


def log_of(container, folder):
    """The container's decision log, copied out; verified."""
    parts, _ = container.get_archive(LOG)
    with tarfile.open(fileobj=io.BytesIO(b"".join(parts))) as archive:
        archive.extractall(folder, filter="data")
    log = folder / "decisions"
    verify(log)
    lines = [line for path in [*segments(log), log / RECORDS] for line in path.read_bytes().splitlines()]
    return [json.loads(line) for line in lines if not line.startswith(b'{"block":')]


def test_nothing_is_lost_and_nothing_decided_twice(stack, tmp_path):
    url, containers = stack
    load = Load(url, bodies(1600))
    asyncio.run(load.run(disturb(containers)))
    for name in ("replica-1", "replica-2"):
        containers[name].stop(timeout=10)
    logs = {name: log_of(containers[name], tmp_path / name) for name in ("replica-1", "replica-2")}
    counts = {name: len(log) for name, log in logs.items()}
    print(f"{len(load.answers)} answers, trouble on the way {dict(load.troubles)}, decisions {counts}")  # noqa: T201 - figures
    logged = {entry["id"]: entry for log in logs.values() for entry in log}
    acknowledged = [json.loads(answer) for answer in load.answers.values()]
    assert len(acknowledged) == len(load.sent)
    assert [reply["id"] for reply in acknowledged if reply["id"] not in logged] == []
    for reply in acknowledged:
        said = {output["name"]: output["data"][0] for output in reply["outputs"]}
        entry = logged[reply["id"]]
        assert said["decision"] == entry["decision"]
        assert abs(said["score"] - entry["score"]) <= 5e-7  # replies have six decimals
    times = Counter(entry["key"] for log in logs.values() for entry in log)
    assert [key for key, count in times.items() if count > 1] == []
    assert load.others == []
    # The disturbances were felt: both replicas decided, and somebody had to ask again.
    assert all(logs.values())
    assert load.troubles

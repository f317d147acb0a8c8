"""Our half of each connection against the real other half, one container each."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from reference_service.monitor.alerts import Notification
from reference_service.monitor.formats import alertmanager_v2
from reference_service.shared.answers import RedisAnswers
from reference_service.shared.connect import connect
from simulator.drivers.poll import listed
from simulator.targets.model import Match

pytestmark = pytest.mark.usefixtures("images")
SECOND = 1_000_000_000


def until(true, seconds=60):
    end = time.monotonic() + seconds
    while True:
        try:
            if found := true():
                return found
        except httpx.TransportError:
            pass
        assert time.monotonic() < end
        time.sleep(0.2)


@pytest.fixture
def running():
    """Starts a container of one of our images; gives what has the address of its port."""
    from testcontainers.core.container import DockerContainer

    started = []

    def start(image, command, port):
        container = DockerContainer(image).with_command(command).with_exposed_ports(port)
        started.append(container)
        return container.start()

    yield start
    for container in started:
        container.stop()


def address(container, port):
    return f"{container.get_container_host_ip()}:{container.get_exposed_port(port)}"


async def at_once():
    """A log that has written everything."""


def test_answers_survive_a_restart_of_redis(running):
    command = "redis-server --bind 0.0.0.0 --protected-mode no --appendonly yes --appendfsync always --dir /tmp"
    redis = running("seatrial-redis", command, 6379)

    async def claim(key, *, keep=None):
        client = connect(f"redis://{address(redis, 6379)}/1")
        try:
            store = RedisAnswers(client, 3600 * SECOND, 60 * SECOND, at_once)
            found = await store.claim(key, b"payload", 1)
            if keep is not None:
                await store.keep(key, keep)
            return found
        finally:
            await client.aclose()

    def claimed(key, **kept):
        def attempt():
            try:
                return [asyncio.run(claim(key, **kept))]
            except OSError:
                return []

        return until(attempt)[0]

    from reference_service.guards.idempotency import Kept

    answer = Kept(b"payload", 200, b"score", 2)
    assert claimed(b"answered", keep=answer) is None
    assert claimed(b"in flight") is None
    redis.get_wrapped_container().restart(timeout=5)
    assert claimed(b"answered") == answer
    assert claimed(b"in flight") == Kept(b"payload", 0, b"", 1)
    assert claimed(b"new") is None


def test_the_harness_reads_the_alerts_of_a_real_prometheus(running):
    command = "prometheus --config.file=/deploy/prometheus.yml --storage.tsdb.path=/tmp/prometheus"
    url = f"http://{address(running('seatrial-prometheus', command, 9090), 9090)}/api/v1"
    # There is no replica here, and both are missed; so the heartbeat that needs them must not beat.
    alerts = until(lambda: listed(httpx.get(f"{url}/alerts").json()))
    match = Match(name="monitor")
    until(lambda: len(listed(httpx.get(f"{url}/alerts").json())) == 2)
    assert {labels[match.name] for labels in alerts.values()} == {"replica_down"}
    assert {labels[match.severity] for labels in alerts.values()} == {"page"}
    assert all(labels[match.field].startswith("replica-") for labels in alerts.values())
    groups = httpx.get(f"{url}/rules").json()["data"]["groups"]
    broken = [rule for group in groups for rule in group["rules"] if rule["health"] == "err"]
    assert {group["name"] for group in groups} >= {"staging", "seatrial_service"}
    assert not broken


PROMTOOL = """
rule_files: [/ops/prometheus.rules.yaml]
evaluation_interval: 2s
tests:
  - interval: 2s
    input_series:
      - {series: 'seatrial_service_alert_firing{alertname="schema_change",field="amount",severity="page",owner="o",instance="1"}', values: 1x9}
      - {series: 'seatrial_service_alert_firing{alertname="null_rate",field="amount",severity="page",owner="o",instance="1"}', values: 1x9}
      - {series: 'seatrial_service_alert_firing{alertname="null_rate",field="amount",severity="page",owner="o",instance="2"}', values: 1x9}
    alert_rule_test:
      - eval_time: 10s
        alertname: ServiceAlert
        exp_alerts:
          - exp_labels: {severity: page, monitor: schema_change, field: amount, owner: o}
            exp_annotations: {summary: schema_change of amount (o)}
          - exp_labels: {severity: page, monitor: null_rate, field: amount, owner: o}
            exp_annotations: {summary: null_rate of amount (o)}
"""  # noqa: E501 - a series is one line


def test_two_monitors_of_one_field_are_two_alerts_and_two_replicas_one(running):
    prometheus = running("seatrial-prometheus", "sleep 60", 9090)
    script = f"cat > /tmp/test.yml <<'EOF'\n{PROMTOOL}\nEOF\npromtool test rules /tmp/test.yml"
    code, said = prometheus.exec(["sh", "-c", script])
    assert code == 0, said.decode()


def test_a_real_alertmanager_takes_what_the_service_sends_it(running):
    command = (
        "prometheus-alertmanager --config.file=/deploy/alertmanager.yml --storage.path=/tmp --cluster.listen-address="
    )
    url = f"http://{address(running('seatrial-alertmanager', command, 9093), 9093)}"
    until(lambda: httpx.get(f"{url}/-/ready").status_code == 200)
    now = time.time_ns()
    note = Notification("schema_change", "amount", "page", "0" * 16, firing=True, summary="s", starts_ns=now, ends_ns=0)

    def tell(this):
        reply = httpx.post(f"{url}/api/v2/alerts", json=alertmanager_v2(this, "payments", ""))
        assert reply.status_code == 200, reply.text
        return [alert["labels"] for alert in httpx.get(f"{url}/api/v2/alerts").json()]

    labels = {"alertname": "schema_change", "field": "amount", "severity": "page", "service": "payments"}
    assert tell(note) == [labels]
    assert tell(note._replace(firing=False, ends_ns=now + 1)) == []

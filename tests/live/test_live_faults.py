"""A live service's dependency behind the fault proxy: broken, counted, healed; and a proxy that nobody is wired to."""

import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from simulator.checks.premises import PremiseError, receipts
from simulator.drivers.live import run_live
from simulator.drivers.locust.fleet import run_fleet
from simulator.drivers.spec import RunSpec
from simulator.drivers.start import free_port
from simulator.history.schema import NEVER
from simulator.scenario.load import load
from simulator.scenario.quantities import SECOND
from simulator.targets.load import load as load_target

ROOT = Path(__file__).parents[2]
BUNDLES = ROOT / "scenarios/bundles/payments"
SCENARIO = """
seatrial: 1
title: The feature store hangs up on everybody
seed: 56
runs_on: [live, locust]
target: {target}
given:
  population: payments
  traffic: {{rate: 20/s, for: 9s, timeout: 2s}}
  warmup: 2s
  steady_state:
    - {{error_rate: {{max: 30%}}}}
when:
  - {{event: outage, at: 4s, for: 3s, dependency: {{name: feature_store, fault: down}}}}
then:
  - {{id: up, error_rate: {{max: 10%}}}}
"""
TARGET = """
target: 1
start:
  command: [$python, -m, reference_service, $settings, --port, $port]
  url: http://127.0.0.1:$port
  env: {{PYTHONPATH: {root}}}
  settings: {{bundles: {bundles}, feature_store: "redis://{store}/0", token: $token}}
  ready: /v2/health/ready
protocol: oip-v2
model: payments
read: {{score: score, decision: decision, source: source, reasons: reasons}}
seams: {{feature_store: {{proxy: "tcp://127.0.0.1:{port}"}}}}
"""


@pytest.fixture(scope="module")
def redis_port(tmp_path_factory):
    server = shutil.which("redis-server")
    if server is None:
        pytest.skip("there is no redis-server on this machine (Debian: apt-get install redis-server)")
    port, folder = free_port(), tmp_path_factory.mktemp("redis")
    command = [server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        filled = [sys.executable, "-m", "reference_service", "features", str(BUNDLES / "customers.npz")]
        subprocess.run([*filled, "--to", f"redis://127.0.0.1:{port}/0"], cwd=ROOT, check=True, timeout=60)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def carried_out(folder, port, store, driver="live"):
    (folder / "targets").mkdir()
    target = folder / "targets/kept.target.yaml"
    target.write_text(TARGET.format(root=ROOT, bundles=BUNDLES, port=port, store=store))
    path = folder / "outage.scenario.yaml"
    path.write_text(SCENARIO.format(target="kept"))
    (cell,) = load(path)
    spec = RunSpec(
        cell.scenario, str(cell.path), {}, "main", load_target(target), target, "", folder / "main",
        lambda *_: (True, ""), driver=driver,
    )  # fmt: skip
    return cell.scenario, {"live": run_live, "locust": run_fleet}[driver](spec)


@pytest.mark.parametrize("driver", ["live", pytest.param("locust", marks=pytest.mark.slow)])
def test_a_store_behind_the_proxy_goes_down_the_fallback_covers_and_all_is_healed(redis_port, tmp_path, driver):
    scenario, history = carried_out(tmp_path, redis_port, "$proxy_feature_store", driver)
    record = history.event("outage")
    assert record.start_ns != NEVER, record.detail
    receipts(scenario.when, history)
    at, source = history.items["scheduled_ns"], history.items["source"]
    before, during = source[at < 4 * SECOND], source[(at >= 5 * SECOND) & (at < 7 * SECOND)]
    usual = np.bincount(before).argmax()
    assert (during != usual).mean() > 0.9
    (heal,) = [note.data for note in history.notes if note.kind == "heal"]
    assert heal["healed"] is True


def test_a_proxy_that_nobody_is_wired_to_is_no_fault_saboteur_56(redis_port, tmp_path):
    scenario, history = carried_out(tmp_path, redis_port, f"127.0.0.1:{redis_port}")
    with pytest.raises(PremiseError, match=r"never happened: no byte went through the proxy of feature_store"):
        receipts(scenario.when, history)

"""A live service's dependency behind the fault proxy: broken, counted, healed; and a proxy that nobody is wired to."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from main_run import carried_out, main_spec
from redis_server import redis_server

from simulator.checks.premises import PremiseError, receipts
from simulator.history.schema import NEVER
from simulator.scenario.load import load
from simulator.scenario.quantities import SECOND

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
    with redis_server(tmp_path_factory.mktemp("redis")) as port:
        filled = [sys.executable, "-m", "reference_service", "features", str(BUNDLES / "customers.npz")]
        subprocess.run([*filled, "--to", f"redis://127.0.0.1:{port}/0"], cwd=ROOT, check=True, timeout=60)
        yield port


def outage(folder, port, store, driver="live"):
    (folder / "targets").mkdir()
    target = folder / "targets/kept.target.yaml"
    target.write_text(TARGET.format(root=ROOT, bundles=BUNDLES, port=port, store=store))
    path = folder / "outage.scenario.yaml"
    path.write_text(SCENARIO.format(target="kept"))
    (cell,) = load(path)
    return cell.scenario, carried_out(main_spec(cell, target, folder / "main", driver))


@pytest.mark.parametrize("driver", ["live", pytest.param("locust", marks=pytest.mark.slow)])
def test_a_store_behind_the_proxy_goes_down_the_fallback_covers_and_all_is_healed(redis_port, tmp_path, driver):
    scenario, history = outage(tmp_path, redis_port, "$proxy_feature_store", driver)
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
    scenario, history = outage(tmp_path, redis_port, f"127.0.0.1:{redis_port}")
    with pytest.raises(PremiseError, match=r"never happened: no byte went through the proxy of feature_store"):
        receipts(scenario.when, history)

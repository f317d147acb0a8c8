"""Traces of the service as it is started, with an exporter that its environment brings, as operators have it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from benchmarks.service import bodies
from simulator.drivers.start import free_port

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.beside
BUNDLES = ROOT / "scenarios/bundles/payments"
# What `opentelemetry-instrument` puts before a program: a provider, and where its spans go.
INSTRUMENTED = """
from pathlib import Path
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
out = Path(__file__).with_name("spans").open("w")
provider = TracerProvider()
exporter = ConsoleSpanExporter(out=out, formatter=lambda span: span.to_json(None) + "\\n")
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
"""


def test_the_built_in_server_traces_if_it_is_told_to(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(INSTRUMENTED)
    settings = tmp_path / "settings.json"
    # No feature store: every answer is degraded.
    settings.write_text(json.dumps({"bundles": str(BUNDLES), "traces": True, "feature_store": "redis://127.0.0.1:1/0"}))
    port = free_port()
    command = [sys.executable, "-m", "reference_service", str(settings), "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(tmp_path)})
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
            until = time.monotonic() + 60
            while time.monotonic() < until and process.poll() is None:
                try:
                    if http.get("/v2/health/live").status_code == 200:
                        break
                except httpx.TransportError:
                    time.sleep(0.05)
            assert http.post("/v2/models/payments/infer", content=bodies(1)[0]).status_code == 200
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    spans = [json.loads(line) for line in (tmp_path / "spans").read_text().splitlines()]
    (answered,) = (span for span in spans if span["name"].startswith("POST"))
    assert answered["attributes"]["seatrial.reasons"] == ["dependency:feature_store"]
    assert [event["name"] for event in answered["events"]] == ["degraded"]

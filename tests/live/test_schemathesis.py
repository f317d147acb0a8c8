"""Schemathesis asks a running service whatever its own description allows, and a little that it does not."""

import importlib.util
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.crash import ROOT, Life

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
EXAMPLES = "15"  # an operation and phase; `schemathesis run` by hand takes as many as one likes

pytestmark = [
    pytest.mark.beside,
    pytest.mark.skipif(
        importlib.util.find_spec("schemathesis") is None,
        reason="Schemathesis is not installed; `make test` installs it",
    ),
]


def test_the_service_is_what_it_says_it_is(tmp_path):
    bundles = ROOT / "scenarios/bundles/payments"
    settings = tmp_path / "settings.json"
    settings.write_text(
        json.dumps({"bundles": str(bundles), "feature_store": str(bundles / "customers.npz"), "token": "secret"})
    )
    service = Life(settings)
    try:
        command = [
            str(Path(sys.executable).with_name("schemathesis")),
            "run",
            f"http://127.0.0.1:{service.port}/openapi.json",
        ]
        command += ["--checks", CHECKS, "--max-examples", EXAMPLES, "--seed", "1", "--no-color"]
        command += ["--phases", "examples,coverage,fuzzing", "-H", "Authorization: Bearer secret"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    finally:
        service.end(signal.SIGKILL)
    assert done.returncode == 0, done.stdout[-4000:]
    assert "failed" not in done.stdout
    tested = re.search(r"Tested: (\d+)", done.stdout)
    assert tested, done.stdout[-4000:]
    assert int(tested[1]) > 15  # nothing asked would be nothing found

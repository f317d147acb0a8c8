"""MLServer around a pandas runtime, with adaptive batching and its cache on."""

import json
import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SETTINGS = {
    "host": "127.0.0.1",
    "parallel_workers": 1,
    "metrics_endpoint": None,
    "debug": False,
    "cache_enabled": True,
    "cache_size": 1000,
}
MODEL = {
    "name": "fraud",
    "implementation": "mlserver_pandas.Fraud",
    "max_batch_size": 8,
    "max_batch_time": 0.05,
    "cache_enabled": True,
    "parameters": {"version": "v1"},
}

if __name__ == "__main__":
    port = int(sys.argv[1])
    folder = Path(tempfile.mkdtemp(prefix="seatrial-mlserver-"))
    settings = SETTINGS | {"http_port": port, "grpc_port": port + 10_000 if port < 50_000 else port - 10_000}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(MODEL))
    os.environ["PYTHONPATH"] = str(HERE)
    command = str(Path(sys.executable).with_name("mlserver"))
    os.execv(command, [command, "start", str(folder)])  # noqa: S606 - the pid must stay the same

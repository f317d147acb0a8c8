"""MLServer's own LightGBM runtime around a small booster of five numbers, columns by the `pd` content type."""

import json
import os
import sys
import tempfile
from pathlib import Path

import lightgbm as lgb
import numpy as np
from model import NUMBERS, margin

HERE = Path(__file__).resolve().parent
SETTINGS = {
    "host": "127.0.0.1",
    "parallel_workers": 1,
    "metrics_endpoint": None,
    "debug": False,
    "cache_enabled": False,
}
MODEL = {
    "name": "fraud",
    "implementation": "mlserver_lightgbm.LightGBMModel",
    "max_batch_size": 8,
    "max_batch_time": 0.05,
    "parameters": {"version": "v1", "uri": "./model.bst", "content_type": "pd"},
}

if __name__ == "__main__":
    port = int(sys.argv[1])
    folder = Path(tempfile.mkdtemp(prefix="seatrial-mlserver-"))
    settings = SETTINGS | {"http_port": port, "grpc_port": port + 10_000 if port < 50_000 else port - 10_000}
    (folder / "settings.json").write_text(json.dumps(settings))
    x = np.random.default_rng(1).uniform([0, 0, 0, 0, 0], [500, 24, 800, 1, 6], (4000, 5))
    booster = lgb.train(
        {"objective": "binary", "verbose": -1, "seed": 1, "num_threads": 1},
        lgb.Dataset(x, (margin(*x.T) > 0).astype(int), feature_name=list(NUMBERS)),
        60,
    )
    booster.save_model(folder / "model.bst")
    (folder / "model-settings.json").write_text(json.dumps(MODEL))
    os.environ["PYTHONPATH"] = str(HERE)
    command = str(Path(sys.executable).with_name("mlserver"))
    os.execv(command, [command, "start", str(folder)])  # noqa: S606 - the pid must stay the same

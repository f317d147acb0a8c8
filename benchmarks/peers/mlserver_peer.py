"""MLServer's own LightGBM runtime, configured for speed: ``mlserver_peer.py FOLDER PORT``; FOLDER holds model.bst."""

import json
import os
import sys
from pathlib import Path

if __name__ == "__main__":
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    settings = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": port + 1,
        "parallel_workers": 0,  # in the server's own process: no pickling between two
        "metrics_endpoint": None,
        "debug": False,
    }
    model = {
        "name": "bench",
        "implementation": "mlserver_lightgbm.LightGBMModel",
        "parameters": {"version": "v1", "uri": "./model.bst", "content_type": "pd"},
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))
    os.execvp("mlserver", ["mlserver", "start", str(folder)])  # noqa: S606, S607

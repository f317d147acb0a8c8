"""The reference service, with two versions and a control plane: ``reference_server.py PORT TOKEN``."""

import json
import sys
import tempfile
from pathlib import Path

from reference_service.commands import serve

BUNDLES = Path(__file__).resolve().parents[2] / "scenarios/bundles/payments"

if __name__ == "__main__":
    settings = {"bundles": str(BUNDLES), "feature_store": str(BUNDLES / "customers.npz"), "token": sys.argv[2]}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(json.dumps(settings))
        file.flush()
        sys.exit(serve.main([file.name, "--port", sys.argv[1]]))

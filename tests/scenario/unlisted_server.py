"""The reference service on a server, with one defect or none: ``unlisted_server.py PORT TOKEN [SABOTEUR]``."""

import json
import sys
import tempfile
from pathlib import Path

import unlisted

from reference_service.commands import serve

BUNDLES = Path(__file__).resolve().parents[2] / "scenarios/bundles/payments"

if __name__ == "__main__":
    port, token, *saboteur = sys.argv[1:]
    for name in saboteur:
        getattr(unlisted, name).sabotage()
    settings = {"bundles": str(BUNDLES), "feature_store": str(BUNDLES / "customers.npz"), "token": token}
    # Hardly anybody at once, so that a crowd has to be refused.
    settings |= {"policy": {"max_in_flight": 2}}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(json.dumps(settings))
        file.flush()
        sys.exit(serve.main([file.name, "--port", port]))

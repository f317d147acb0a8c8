"""``seatrial-service SETTINGS``: the service on uvicorn."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec
import uvicorn

from reference_service.app import create_app
from reference_service.clock import SystemClock


def main(arguments: list[str]) -> int:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(
        prog="seatrial-service",
        description="Serve. Other commands: audit, reproduce; each with --help.",
    )
    parser.add_argument("settings", type=Path, help="JSON file, see reference_service/settings.py")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    options = parser.parse_args(arguments)
    app = create_app(msgspec.json.decode(options.settings.read_bytes()), clock=SystemClock())
    uvicorn.run(app, host=options.host, port=options.port, log_level="warning", access_log=False)
    return 0

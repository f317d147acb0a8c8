"""``seatrial-service consume SETTINGS --from redis://…``: answer a stream of requests."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
from pathlib import Path
from typing import Any

from reference_service.api.core import Core
from reference_service.app import create_app
from reference_service.clock import SystemClock
from reference_service.commands.serve import GRACE_NS, listen
from reference_service.commands.starting import configured, started
from reference_service.events.consumer import Consumer, Streams
from reference_service.server.server import Server
from reference_service.shared.connect import connect


def main(arguments: list[str]) -> int:
    """Consume until stopped: 0. 1 if the service cannot start, 2 if the settings are wrong."""
    parser = argparse.ArgumentParser(prog="seatrial-service consume", description="Answer a stream of requests.")
    parser.add_argument("settings", type=Path, help="JSON file, see reference_service/settings.py")
    parser.add_argument("--from", required=True, dest="url", metavar="URL", help="redis://host:port/number")
    for name, what in (("requests", "taken from"), ("answers", "added to"), ("dead", "what fails too often goes to")):
        parser.add_argument(f"--{name}", default=getattr(Streams(), name), metavar="STREAM", help=what)
    parser.add_argument("--host", default="127.0.0.1", help="to listen at (default: %(default)s)")
    parser.add_argument("--port", type=int, help="also speak HTTP there: readiness, metrics, control plane")
    parser.add_argument("--name", default=f"{socket.gethostname()}-{os.getpid()}", help="of this consumer")
    options = parser.parse_args(arguments)
    streams = Streams(requests=options.requests, answers=options.answers, dead=options.dead)
    settings = configured(options.settings)
    listening = None if options.port is None else listen(options.host, options.port)
    asyncio.run(_consume(settings, options.url, options.name, streams, listening))
    return 0


async def _consume(
    settings: dict[str, Any], url: str, name: str, streams: Streams, listening: socket.socket | None
) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    app = create_app(settings, clock=SystemClock())
    core = Core(await started(app))
    client = connect(url, seconds=5 + streams.wait_ms / 1000)
    consumer = Consumer(core, client, name, streams)
    server = None if listening is None else Server(core, listening)
    try:
        if server is not None:
            await server.start()
        await consumer.run(stopped)
    finally:
        if server is not None:
            await server.stop(GRACE_NS)
        await client.aclose()
        await app.shutdown()

"""``seatrial-service SETTINGS``: the service on a server of its own.

Any ASGI server serves it as well: ``uvicorn --factory reference_service.app:create_app``, slower.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import uvloop

from reference_service.api.core import Core
from reference_service.app import create_app
from reference_service.clock import SECOND, SystemClock
from reference_service.commands import COMMANDS
from reference_service.commands.starting import configured, started
from reference_service.server.connection import Connection, Host
from reference_service.server.server import Server
from reference_service.server.workers import Workers

if TYPE_CHECKING:
    from reference_service.rpc.server import Rpc

_BACKLOG: Final = 2048
GRACE_NS: Final = 10 * SECOND  # for what is in flight when a server is stopped


def main(arguments: list[str]) -> int:
    """Serve until stopped: 0. 1 if it cannot start, 2 if the settings are wrong."""
    parser = argparse.ArgumentParser(
        prog="seatrial-service",
        description="Serve, until SIGTERM; then answer what is in flight, for ten seconds at most.",
        epilog="commands, each with --help:\n" + "\n".join(f"  {name:<11}{what}" for name, what in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "settings", type=Path, help="JSON file, see reference_service/settings.py; $NAME: the environment's"
    )
    parser.add_argument("--host", default="127.0.0.1", help="to listen at (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="(default: %(default)s)")
    parser.add_argument("--grpc-port", type=int, metavar="PORT", help="also speak gRPC there (extra: grpc)")
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes; each keeps a decision log of its own"
    )
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)  # which of them this is
    parser.add_argument("--socket", type=int, help=argparse.SUPPRESS)  # inherited
    options = parser.parse_args(arguments)
    settings = configured(options.settings)
    grpc = f"{options.host}:{options.grpc_port}" if options.grpc_port else ""
    if options.worker is not None:
        with socket.socket(fileno=options.socket) as inherited:
            uvloop.run(serve(_of_worker(settings, options.worker, options.workers), inherited, grpc, worker=True))
        return 0
    with contextlib.closing(listen(options.host, options.port)) as listening:
        if options.workers == 1:
            uvloop.run(serve(settings, listening, grpc))
            return 0
        shared = listening.fileno()
        again = [sys.executable, "-m", "reference_service", *arguments, "--socket", str(shared), "--worker"]
        return uvloop.run(_supervise(lambda k: [*again, str(k)], options.workers, shared))


async def _supervise(command: Callable[[int], list[str]], count: int, shared: int) -> int:
    return await Workers(command, count, passed=[shared], clock=SystemClock(), grace_ns=GRACE_NS).run()


def _of_worker(settings: dict[str, Any], number: int, count: int) -> dict[str, Any]:
    """The settings of one worker: what it writes is its own."""
    own = {key: f"{settings[key]}/worker-{number}" for key in ("decision_log",) if settings.get(key)}
    own |= {key: f"{settings[key]}-{number}" for key in ("state",) if settings.get(key)}
    return settings | own | {"workers": count}  # each judges a release by its own part of alpha


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises SystemExit: 1, saying why there is none."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise SystemExit(f"cannot listen at {host}:{port}: {error.strerror}") from None
    listening.listen(_BACKLOG)
    return listening


async def serve(settings: dict[str, Any], listening: socket.socket, grpc: str = "", *, worker: bool = False) -> None:
    """Load, serve, and drain at SIGTERM or SIGINT; a worker also when its control process is no more."""
    stopped = asyncio.Event()
    if worker:
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stopped.set)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    app = create_app(settings, clock=SystemClock())
    service = await started(app)
    core = Core(service)
    connection: Callable[[Host], Connection] = Connection
    if service.settings.traces:
        from reference_service.api.tracing import Spans  # noqa: PLC0415  # an extra
        from reference_service.server.traced import traced  # noqa: PLC0415

        connection = traced(Spans(service.clock))
    servers: list[Server | Rpc] = [Server(core, listening, connection=connection)]
    if grpc:
        from reference_service.rpc.server import Rpc  # noqa: PLC0415  # an extra

        servers.append(Rpc(core, grpc))
    gc.collect()
    gc.freeze()  # what has been loaded stays: to look through it again and again would only hold requests up
    for server in servers:
        await server.start()
    await stopped.wait()
    await asyncio.gather(*(server.stop(GRACE_NS) for server in servers))
    await app.shutdown()

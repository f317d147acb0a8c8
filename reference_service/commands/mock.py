"""``seatrial-service mock CONTRACT``: a stand-in made of the contract alone, for the tests of those who call."""

from __future__ import annotations

import argparse
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import msgspec

from reference_service.api.openapi import example
from reference_service.contract import Contract
from reference_service.mock import Mock

_BAD_INPUT: Final = 2


def main(arguments: list[str]) -> int:
    """Serve until stopped, or print an example; 2 if there is no contract."""
    parser = argparse.ArgumentParser(prog="seatrial-service mock", description="Serve a mock, made of the contract.")
    parser.add_argument("contract", type=Path, help="contract.json, or the folder of a bundle")
    parser.add_argument("--host", default="127.0.0.1", help="to listen at (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other scores")
    parser.add_argument("--example", action="store_true", help="print a request that is answered, and serve nothing")
    options = parser.parse_args(arguments)
    path = options.contract / "contract.json" if options.contract.is_dir() else options.contract
    try:
        contract = msgspec.json.decode(path.read_bytes(), type=Contract)
    except (OSError, ValueError) as error:
        print(f"{path} is no contract: {error}", file=sys.stderr)
        return _BAD_INPUT
    if options.example:
        print(msgspec.json.format(msgspec.json.encode(example(contract))).decode())
        return 0
    with server(Mock(contract, options.seed), options.host, options.port) as serving:
        serving.serve_forever()
    return 0


def server(mock: Mock, host: str, port: int) -> ThreadingHTTPServer:
    """A mock needs no speed, and so nothing but the standard library."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._do()

        def do_POST(self) -> None:
            self._do()

        def _do(self) -> None:
            length = self.headers.get("content-length", "0")
            body = self.rfile.read(int(length)) if length.isdigit() else b""
            status, kind, answer = mock.answer(self.command, self.path.partition("?")[0], body)
            self.send_response(status)
            for name, value in (("content-type", kind), ("content-length", str(len(answer))), ("x-mock", "true")):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """A mock keeps quiet."""

    return ThreadingHTTPServer((host, port), Handler)

"""A Redis of its own for whoever asks: on loopback, in memory, gone when it is no longer needed."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulator.drivers.start import free_port


@contextlib.contextmanager
def redis_server(folder: Path, *more: str) -> Iterator[int]:
    """Its port; `more` is said to it on its command line. Skips where there is none on this machine."""
    server = shutil.which("redis-server")
    if server is None:
        pytest.skip("there is no redis-server on this machine (Debian: apt-get install redis-server)")
    port = free_port()
    command = [server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder), *more]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 30
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, f"redis-server ended with {process.returncode}"
            assert time.monotonic() < until, "redis-server does not listen"
            time.sleep(0.01)
        yield port
    finally:
        process.terminate()
        process.wait(10)

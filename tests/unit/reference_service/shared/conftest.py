"""A real Redis on loopback, empty for every test."""

import asyncio
import shutil
import socket
import subprocess
import time

import pytest

from reference_service.shared.connect import connect


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def redis_port(tmp_path_factory):
    server = shutil.which("redis-server")
    if server is None:
        pytest.skip("there is no redis-server on this machine (Debian: apt-get install redis-server)")
    port = free_port()
    folder = tmp_path_factory.mktemp("redis")
    command = [server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def with_redis(redis_port):
    """Runs a coroutine function that takes as many clients as asked for, each like a replica's own."""

    def run(work, clients=1):
        async def go():
            opened = [connect(f"redis://127.0.0.1:{redis_port}/0") for _ in range(clients)]
            await opened[0].flushall()
            try:
                return await work(*opened)
            finally:
                for client in opened:
                    await client.aclose()

        return asyncio.run(go())

    return run

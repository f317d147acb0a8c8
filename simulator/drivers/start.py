"""The target as a process or a URL: started with what it has to know, waited for, and stopped by its id."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping
from typing import Final

import httpx
import msgspec

from simulator.drivers.spec import RunSpec, settings_of, substitute

_START_WITHIN: Final = 60.0  # seconds for a started service to become ready


class TargetDown(RuntimeError):  # noqa: N818 - says what is the case
    """The target could not be started or reached."""


@contextlib.asynccontextmanager
async def started(spec: RunSpec, sink: str, token: str, proxies: Mapping[str, str]) -> AsyncIterator[str]:
    """The target's base URL; starts its command first if it has one, and stops that process afterwards."""
    start = spec.target.start
    if start.url is None:
        raise TargetDown(f"{spec.target_path}: a live run needs start.url (and start.command, if it is to be started)")
    names = {
        "sink": sink, "token": token, "port": str(free_port()), "here": str(spec.target_path.parent),
        "python": sys.executable, **proxies,
    }  # fmt: skip
    url = substitute(start.url, names)
    process, settings = None, None
    if start.takes_settings:
        settings = spec.folder.with_name(f"{spec.folder.name}.settings.json")
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.touch(mode=0o600)  # the token may stand in it
        settings.write_bytes(msgspec.json.encode(settings_of(spec, names)))
        names["settings"] = str(settings)
    if start.command:
        environment = os.environ | {k: substitute(v, names) for k, v in start.env.items()}
        process = await asyncio.create_subprocess_exec(
            *substitute(start.command, names), env=environment,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
    try:
        await _ready(url, start.ready, process)
        yield url
    finally:
        if settings is not None:
            settings.unlink(missing_ok=True)
        if process is not None and process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 10)
            except TimeoutError:
                process.kill()
                await process.wait()


async def _ready(url: str, path: str | None, process: asyncio.subprocess.Process | None) -> None:
    deadline = time.monotonic() + _START_WITHIN
    last = "no answer"
    async with httpx.AsyncClient(base_url=url, timeout=2, trust_env=False) as http:
        while time.monotonic() < deadline:
            if process is not None and process.returncode is not None:
                raise TargetDown(f"the target's command ended with code {process.returncode} before it was ready")
            try:
                response = await http.get(path or "/")
            except httpx.TransportError as error:
                last = f"{type(error).__name__}: {error}"
            else:
                if response.status_code == 200 or path is None:  # noqa: PLR2004 - ready
                    return
                last = f"status {response.status_code}"
            await asyncio.sleep(0.1)
    raise TargetDown(f"{url}{path or '/'} was not ready within {_START_WITHIN:.0f} s; last: {last}")


def free_port() -> int:
    """A port of loopback that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

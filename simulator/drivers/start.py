"""The target as a process or a URL: started with what it has to know, waited for, and stopped by its id."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final

import httpx
import msgspec

from simulator.drivers.process import Process
from simulator.drivers.spec import RunSpec, settings_of, substitute
from simulator.targets.bundles import offered

_START_WITHIN: Final = 60.0  # seconds for a started service to become ready


class TargetDown(RuntimeError):  # noqa: N818 - says what is the case
    """The target could not be started or reached."""


@dataclass(slots=True)
class Service:
    """The target while a run lasts. `process` is None for one that somebody else started."""

    url: str
    process: Process | None
    ready: str | None

    async def again(self) -> None:
        """Start its command anew and wait until it is ready. Raises TargetDown."""
        assert self.process is not None  # noqa: S101 - a fault of a process is refused where there is none
        if self.process.session and self.process.code is None:
            return  # another event was quicker: a second one would never be ended
        await self.process.start()
        await _ready(self.url, self.ready, self.process)


@contextlib.asynccontextmanager
async def started(spec: RunSpec, sink: str, token: str, proxies: Mapping[str, str]) -> AsyncIterator[Service]:
    """The target; starts its command first if it has one, and ends all of its processes afterwards."""
    start = spec.target.start
    if start.url is None:
        raise TargetDown(f"{spec.target_path}: a live run needs start.url (and start.command, if it is to be started)")
    state = spec.folder.absolute() / "state"
    if state.exists():
        shutil.rmtree(state)  # what an earlier run left is not this one's past
    names = {
        "sink": sink, "token": token, "port": str(free_port()), "here": str(spec.target_path.parent),
        "python": sys.executable, "state": str(state),
        "bundles": offered(spec.scenario, spec.target, spec.target_path, spec.folder.absolute()), **proxies,
    }  # fmt: skip
    process, settings = None, None
    if start.takes_settings:
        settings = spec.folder.with_name(f"{spec.folder.name}.settings.json")
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.touch(mode=0o600)  # the token may stand in it
        settings.write_bytes(msgspec.json.encode(settings_of(spec, names)))
        names["settings"] = str(settings)
    if start.command:
        process = Process(substitute(start.command, names), {k: substitute(v, names) for k, v in start.env.items()})
    service = Service(substitute(start.url, names), process, start.ready)
    try:
        if process is None:
            await _ready(service.url, start.ready, None)
        else:
            await service.again()
        yield service
    finally:
        if settings is not None:
            settings.unlink(missing_ok=True)
        if process is not None:
            await process.end()


async def _ready(url: str, path: str | None, process: Process | None) -> None:
    deadline = time.monotonic() + _START_WITHIN
    last = "no answer"
    async with httpx.AsyncClient(base_url=url, timeout=2, trust_env=False) as http:
        while time.monotonic() < deadline:
            if process is not None and process.code is not None:
                raise TargetDown(f"the target's command ended with code {process.code} before it was ready")
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

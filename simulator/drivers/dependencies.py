"""Dependencies of a live service behind fault proxies: broken by name, always healed, what really happened as receipt.

The service has to be told to connect to ``$proxy_NAME`` instead of the dependency. One that was not is not affected,
and no byte is counted: such a fault never happened, and nothing that needs it can pass.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from simulator.drivers.fault_proxies import UNCOUNTED, Count, FaultProxies
from simulator.drivers.full_redis import FullRedis, RedisError
from simulator.drivers.receipts import ServiceReceipt
from simulator.drivers.spec import RunSpec
from simulator.history.schema import NEVER
from simulator.proxy.api import Proxies, serve
from simulator.scenario.verbs import Dependency, Event

_MS: Final = 1_000_000
_TAKEN: Final = 10  # connections that a share has to take, so that what it took is what it declares, within a tenth


class Dependencies:
    """The dependencies of one service.

    Args:
        proxies: of this run.
        addresses: of each dependency that has a proxy, ``host:port`` by name.
        names: what ``$proxy_NAME`` stands for in the target's start.
    """

    def __init__(self, proxies: FaultProxies, addresses: dict[str, str], names: dict[str, str]) -> None:
        self.proxies = proxies
        self.names = names
        self._addresses = addresses
        self._full: dict[str, FullRedis] = {}  # by event
        self.counted: dict[str, int] = {}  # by event: what was seen to be struck, by whoever stands in between

    async def break_with(self, event: Event) -> str | None:
        """Put the event's fault on; why that cannot be done, or None."""
        fault = event.dependency
        assert fault is not None  # noqa: S101 - the caller looked
        if fault.name not in self._addresses:
            return f"the target file gives no `seams: {{{fault.name}: {{proxy: tcp://host:port}}}}`"
        toxic = _toxic(fault)
        if isinstance(toxic, str):
            return toxic
        why = await self.proxies.poison(fault.name, {"name": event.event, "toxicity": fault.share, **toxic})
        if why is None and fault.fault == "full":
            self._full[event.event] = redis = FullRedis(self._addresses[fault.name])
            try:
                await redis.fill()
            except RedisError as error:
                await self.proxies.cure(fault.name, event.event)
                return f"{fault.name} cannot be made full, only a Redis that may be configured can: {error}"
        return why

    async def heal(self, event: Event, since_ns: int) -> ServiceReceipt:
        """Take the event's fault off; what it did."""
        fault = event.dependency
        assert fault is not None  # noqa: S101 - it was put on
        refused = None
        try:
            if event.event in self._full:
                refused = await self._full[event.event].refused()
                await self._full[event.event].restored()
        except RedisError as error:  # the heal phase tries again, and says so
            return ServiceReceipt(NEVER, 1, 0, 0, detail=str(error))
        count = await self.proxies.cure(fault.name, event.event)
        if count is None:
            return ServiceReceipt(NEVER, 1, 0, 0, detail=UNCOUNTED)
        if not count.bytes:
            name = fault.name
            why = f"no byte went through the proxy of {name}; is the service told to connect to $proxy_{name}?"
            return ServiceReceipt(NEVER, 1, 0, 0, detail=why)
        if refused is not None:
            detail = f"{refused} commands refused for want of memory"
            self.counted[event.event] = refused
            return ServiceReceipt(since_ns, max(1, refused), refused, refused, detail=detail)
        self.counted[event.event] = count.struck
        return _receipt(count, fault.share, since_ns)

    async def whole(self) -> str | None:
        """Heal everything, and look; what is still broken, or None."""
        broken = []
        for redis in self._full.values():
            try:
                await redis.restored()
            except RedisError as error:  # one that is out of reach must not keep the others broken
                broken.append(f"a Redis is still full: {error}")
        return "; ".join([*broken, *filter(None, [await self.proxies.whole()])]) or None


def _receipt(count: Count, share: float, since_ns: int) -> ServiceReceipt:
    if count.used is None or count.taken is None or count.potent is None:
        return ServiceReceipt(since_ns, 1, 1, 1, detail=f"{count.bytes} bytes went through the toxic")
    detail = f"{count.taken} of {count.used} connections taken, of {count.potent} completely; {count.bytes} bytes"
    if share < 1 and count.used * share < _TAKEN:
        detail += f"; a proxy takes connections, and a share of {share:.0%} needs at least {_TAKEN / share:.0f} of them"
        return ServiceReceipt(since_ns, 1, 0, 0, detail=detail)
    return ServiceReceipt(since_ns, max(1, count.taken), count.taken, count.potent, detail=detail)


@contextlib.asynccontextmanager
async def proxied(spec: RunSpec) -> AsyncIterator[Dependencies]:
    """A proxy for each seam of the target that has an address; all are gone afterwards."""
    addresses = {
        name: seam.proxy.removeprefix("tcp://") for name, seam in spec.target.seams.items() if seam.proxy is not None
    }  # fmt: skip
    async with (
        _kept(spec) as url,
        httpx.AsyncClient(base_url=url, timeout=10, trust_env=False) as http,
    ):
        proxies = FaultProxies(http, urlsplit(url).hostname or "")
        try:
            names = {f"proxy_{name}": await proxies.stand_before(name, to) for name, to in addresses.items()}
            yield Dependencies(proxies, addresses, names)
        finally:
            await asyncio.shield(proxies.leave())


@contextlib.asynccontextmanager
async def _kept(spec: RunSpec) -> AsyncIterator[str]:
    """The URL of whoever keeps the proxies: a Toxiproxy that the target file names, or our own for this run."""
    if spec.target.toxiproxy is not None:
        yield spec.target.toxiproxy
        return
    proxies = Proxies(spec.scenario.seed)
    server = await serve(proxies.answer)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await asyncio.shield(proxies.close())


def _toxic(fault: Dependency) -> dict[str, Any] | str:
    """The toxic that makes this of a dependency, or why there is none."""
    if fault.fault == "down":
        return {"type": "reset_peer", "stream": "upstream", "attributes": {"timeout": 0}}
    if fault.fault == "slow":
        if (fault.by or 0) < _MS:
            return "a proxy delays by whole milliseconds"
        return {"type": "latency", "stream": "downstream", "attributes": {"latency": (fault.by or 0) // _MS}}
    if fault.fault == "full":
        if fault.share < 1:
            return "a Redis is full for everybody; leave `share` out"
        # Holds nothing back: it shows that the service went this way.
        return {"type": "latency", "stream": "upstream", "attributes": {"latency": 0}}
    return f"a proxy cannot make a dependency {fault.fault}"

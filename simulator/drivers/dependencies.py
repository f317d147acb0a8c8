"""Dependencies of a live service behind fault proxies: broken by name, always healed, the proxy's count as receipt.

The service has to be told to connect to ``$proxy_NAME`` instead of the dependency. One that was not is not affected,
and no byte is counted: such a fault never happened, and nothing that needs it can pass.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx

from simulator.drivers.receipts import ServiceReceipt
from simulator.drivers.spec import RunSpec
from simulator.history.schema import NEVER
from simulator.proxy.api import Proxies, serve
from simulator.scenario.verbs import Dependency, Event

_MS: Final = 1_000_000


class Dependencies:
    """Speaks nothing but toxiproxy's HTTP API to whatever keeps the proxies."""

    def __init__(self, http: httpx.AsyncClient, names: dict[str, str]) -> None:
        self.http = http
        self.names = names  # what `$proxy_NAME` stands for in the target's start

    async def break_with(self, event: Event) -> str | None:
        """Put the event's fault on; why that cannot be done, or None."""
        fault = event.dependency
        assert fault is not None  # noqa: S101 - the caller looked
        if f"proxy_{fault.name}" not in self.names:
            return f"the target file gives no `seams: {{{fault.name}: {{proxy: tcp://host:port}}}}`"
        toxic = _toxic(fault)
        if toxic is None:
            return f"a proxy cannot make a dependency {fault.fault}"
        if fault.share < 1:
            return "a proxy sees connections, not calls; leave `share` out"
        response = await self.http.post(f"/proxies/{fault.name}/toxics", json={"name": event.event, **toxic})
        return None if response.is_success else f"the proxy refused: {response.text}"

    async def heal(self, event: Event, since_ns: int) -> ServiceReceipt:
        """Take the event's fault off; what it did, in connections."""
        assert event.dependency is not None  # noqa: S101 - it was put on
        name = event.dependency.name
        path = f"/proxies/{name}/toxics/{event.event}"
        counted = await self.http.get(path)
        (await self.http.delete(path)).raise_for_status()
        connections = counted.json().get("connections") if counted.is_success else None
        if connections is None:
            return ServiceReceipt(NEVER, 1, 0, 0, detail="the proxy does not count what its toxics affect")
        if not connections:
            why = f"no byte went through the proxy of {name}; is the service told to connect to $proxy_{name}?"
            return ServiceReceipt(NEVER, 1, 0, 0, detail=why)
        detail = f"{counted.json()['bytes']} bytes affected"
        return ServiceReceipt(since_ns, connections, connections, connections, detail=detail)

    async def whole(self) -> str | None:
        """Heal everything, and look; what is still broken, or None."""
        try:
            (await self.http.post("/reset")).raise_for_status()
            found = (await self.http.get("/proxies")).raise_for_status().json()
        except httpx.HTTPError as error:
            return f"the fault proxy does not answer: {error}"
        left = [name for name, proxy in found.items() if proxy["toxics"] or not proxy["enabled"]]
        return f"still broken: {', '.join(left)}" if left else None


@contextlib.asynccontextmanager
async def proxied(spec: RunSpec) -> AsyncIterator[Dependencies]:
    """A proxy for each seam of the target that has an address; all are gone afterwards."""
    proxies = Proxies(spec.scenario.seed)
    server = await serve(proxies.answer)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    wanted = [
        {"name": name, "listen": "127.0.0.1:0", "upstream": seam.proxy.removeprefix("tcp://")}
        for name, seam in spec.target.seams.items() if seam.proxy is not None
    ]  # fmt: skip
    async with httpx.AsyncClient(base_url=url, timeout=10, trust_env=False) as http:
        try:
            said = (await http.post("/populate", json=wanted)).raise_for_status().json()
            yield Dependencies(http, {f"proxy_{one['name']}": one["listen"] for one in said["proxies"]})
        finally:
            server.close()
            await asyncio.shield(proxies.close())


def _toxic(fault: Dependency) -> dict[str, Any] | None:
    if fault.fault == "down":
        return {"type": "reset_peer", "stream": "upstream", "attributes": {"timeout": 0}}
    if fault.fault == "slow":
        return {"type": "latency", "stream": "downstream", "attributes": {"latency": (fault.by or 0) // _MS}}
    return None

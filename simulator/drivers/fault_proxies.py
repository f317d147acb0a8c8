"""Fault proxies as a run uses them: nothing but toxiproxy's HTTP API, spoken to our own proxy or to a real Toxiproxy.

Ours counts what each toxic does. Toxiproxy counts bytes only, each connection's when it ends, and only with
``-proxy-metrics``. There a fault begins and ends with a cut of the connections that are open: what is counted between
the two cuts went through the toxic, and nothing else did.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Any, Final

import httpx

_LOOK: Final = 0.05  # seconds between two looks at a count; it is settled when both agree
_COUNTER: Final = "toxiproxy_proxy_received_bytes_total"
_SERIES: Final = re.compile(rf"^{_COUNTER}\{{(?P<labels>.*)\}} (?P<bytes>\S+)$", re.MULTILINE)
_GONE: Final = 404
UNCOUNTED: Final = "the fault proxy does not count what it does; a Toxiproxy does with -proxy-metrics"


@dataclass(frozen=True, slots=True)
class Count:
    """What one toxic did.

    Of connections: over how many something went its way while it was on, how many it took, and of how many the effect
    was complete. None where the proxy counts bytes alone. `struck`: what the proxy itself has counted meanwhile, not
    the toxic: pieces of data that went through one, or those bytes.
    """

    bytes: int
    struck: int
    used: int | None = None
    taken: int | None = None
    potent: int | None = None


class FaultProxies:
    """The proxies of one run, by name. Whatever else is at the same Toxiproxy is left alone.

    Args:
        http: at the API's address.
        host: by which the proxies are reached; they listen at loopback if that is loopback, else everywhere.
    """

    def __init__(self, http: httpx.AsyncClient, host: str) -> None:
        self._http, self._host = http, host
        self._mine: list[str] = []
        self._before: dict[tuple[str, str], int] = {}  # (proxy, toxic) → counted when it was put on

    async def stand_before(self, name: str, upstream: str) -> str:
        """A proxy before ``host:port``; the ``host:port`` at which it is reached. Raises httpx.HTTPError."""
        path = _path(name)
        if (gone := await self._http.delete(path)).status_code != _GONE:  # an earlier run was killed
            gone.raise_for_status()
        listen = "127.0.0.1" if self._host in {"localhost", "127.0.0.1", "::1"} else "0.0.0.0"  # noqa: S104 - of another machine
        said = {"name": f"seatrial-{name}", "listen": f"{listen}:0", "upstream": upstream, "enabled": True}
        made = (await self._http.post("/proxies", json=said)).raise_for_status().json()
        self._mine.append(name)
        return f"{self._host}:{made['listen'].rpartition(':')[2]}"

    async def poison(self, name: str, toxic: dict[str, Any]) -> str | None:
        """Put a toxic on; why that cannot be done, or None. Raises httpx.HTTPError."""
        put = await self._http.post(f"{_path(name)}/toxics", json=toxic)
        if not put.is_success:
            return f"the proxy refused: {put.text}"
        if "connections" in put.json():
            self._before[name, toxic["name"]] = await self._struck(name)
            return None
        if toxic["toxicity"] < 1:
            await self._http.delete(f"{_path(name)}/toxics/{toxic['name']}")
            return "a Toxiproxy does not say which connections its toxics took; leave `share` out"
        await self._enable(name, on=False)
        counted = await self._bytes(name, toxic["stream"])
        await self._enable(name, on=True)
        if counted is None:
            await self._http.delete(f"{_path(name)}/toxics/{toxic['name']}")
            return UNCOUNTED
        self._before[name, toxic["name"]] = counted
        return None

    async def cure(self, name: str, toxic: str) -> Count | None:
        """Take a toxic off; what it did, None if it was not on or nobody can say. Raises httpx.HTTPError."""
        path = f"{_path(name)}/toxics/{toxic}"
        said = await self._http.get(path)
        if said.status_code == _GONE:
            return None
        found = said.raise_for_status().json()
        if "connections" in found:
            struck = await self._struck(name) - self._before[name, toxic]
            count = Count(found["bytes"], struck, found["used"], found["connections"], found["potent"])
            (await self._http.delete(path)).raise_for_status()
            return count
        await self._enable(name, on=False)
        counted = await self._bytes(name, found["stream"])
        (await self._http.delete(path)).raise_for_status()
        await self._enable(name, on=True)
        if counted is None:
            return None
        through = counted - self._before[name, toxic]
        return Count(through, through)

    async def part(self, name: str) -> None:
        """A partition: nobody gets through, nobody is connected. Raises httpx.HTTPError."""
        await self._enable(name, on=False)

    async def parted(self, name: str) -> bool:
        """Whether the proxy itself says that nobody gets through. Raises httpx.HTTPError."""
        return (await self._http.get(_path(name))).raise_for_status().json()["enabled"] is False

    async def whole(self) -> str | None:
        """Heal everything, and look; what is still broken, or None."""
        left = []
        try:
            for name in self._mine:
                await self._enable(name, on=True)
                for toxic in (await self._http.get(f"{_path(name)}/toxics")).raise_for_status().json():
                    (await self._http.delete(f"{_path(name)}/toxics/{toxic['name']}")).raise_for_status()
                found = (await self._http.get(_path(name))).raise_for_status().json()
                if found["toxics"] or not found["enabled"]:
                    left.append(name)
        except httpx.HTTPError as error:
            return f"the fault proxy does not answer: {error}"
        return f"still broken: {', '.join(left)}" if left else None

    async def leave(self) -> None:
        """Nothing of this run's is left behind. Raises httpx.HTTPError."""
        while self._mine:
            (await self._http.delete(_path(self._mine.pop()))).raise_for_status()

    async def _enable(self, name: str, *, on: bool) -> None:
        (await self._http.post(_path(name), json={"enabled": on})).raise_for_status()

    async def _struck(self, name: str) -> int:
        return int((await self._http.get(_path(name))).raise_for_status().json()["struck"])

    async def _bytes(self, name: str, stream: str) -> int | None:
        wanted = {f'direction="{stream}"', f'proxy="seatrial-{name}"'}
        before = -1
        while True:
            await asyncio.sleep(_LOOK)
            said = await self._http.get("/metrics")
            if not said.is_success:
                return None
            # A series appears with the first connection that ended.
            series = (one for one in _SERIES.finditer(said.text) if wanted <= set(one["labels"].split(",")))
            now = sum(int(float(one["bytes"])) for one in series)
            if now == before:
                return now
            before = now


def _path(name: str) -> str:
    return f"/proxies/seatrial-{name}"

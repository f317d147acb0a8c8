"""A bad network in real time: what an event touches goes through a proxy of its own, everything else goes straight.

The fault happened if the proxy counted what it affected, and was potent for whatever request shows it in what became of
it (`receipts.py`). A service that is slow by itself is not mistaken for a proxy that is not wired.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from simulator.drivers.fault_proxies import UNCOUNTED, FaultProxies
from simulator.scenario.disturbances import Network
from simulator.scenario.quantities import SECOND
from simulator.scenario.verbs import Event

_PIECES: Final = 10  # of a body that takes its time
Ways = dict[int, tuple[str, int]]  # id of an event's network → the address that leads to the service through it


async def lay(proxies: FaultProxies, events: Sequence[Event], url: str, body: int) -> tuple[Ways, dict[str, str]]:
    """A proxy before `url` for each of the events with a bad network.

    Returns:
        The ways, and event → why its proxy will not do that.

    Args:
        proxies: of this run.
        events: of the scenario; their networks are known by their identity afterwards.
        url: of the service.
        body: bytes of a usual request.

    Raises:
        httpx.HTTPError: whoever keeps the proxies does not answer.
    """
    parts, ways, refused = urlsplit(url), {}, {}
    upstream = f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
    for event in events:
        network, name = event.params, _name(event)
        host, _, port = (await proxies.stand_before(name, upstream)).rpartition(":")
        if network.fault == "partition":
            await proxies.part(name)
        elif (why := await proxies.poison(name, toxic(network, body))) is not None:
            refused[event.event] = why
        ways[id(network)] = host, int(port)
    return ways, refused


async def unseen(proxies: FaultProxies, event: Event) -> str | None:
    """Why the event's bad network has not been seen to happen, or None. Raises httpx.HTTPError."""
    name, network = _name(event), event.params
    if 0 < (network.by or 0) * 1000 < SECOND:
        return "a proxy delays by whole milliseconds"
    if event.params.fault == "partition":
        return None if await proxies.parted(name) else "the fault proxy let everything through"
    count = await proxies.cure(name, event.params.fault)
    if count is None:
        return UNCOUNTED
    return None if count.bytes else "no byte went through the fault proxy"


def _name(event: Event) -> str:
    return f"way-{event.event}"


def toxic(network: Network, body: int) -> dict[str, Any]:
    """The toxic that makes this of a connection."""
    by_ms = (network.by or 0) * 1000 // SECOND
    made: dict[str, tuple[str, str, dict[str, int]]] = {
        "latency": ("latency", "upstream", {"latency": by_ms}),
        "loss": ("timeout", "upstream", {"timeout": 0}),
        "half_open": ("timeout", "downstream", {"timeout": 0}),
        "reset": ("reset_peer", "downstream", {"timeout": 0}),
        "upload": ("slicer", "upstream", {"average_size": max(1, body // _PIECES), "delay": by_ms * 1000 // _PIECES}),
    }
    kind, stream, attributes = made[network.fault]
    return {"name": network.fault, "type": kind, "stream": stream, "toxicity": 1.0, "attributes": attributes}

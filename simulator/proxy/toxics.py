"""Toxics: what a proxy does to the bytes of a connection. Each is one small function over one piece of the stream.

Names, attributes and units (milliseconds, KB/s, bytes) are toxiproxy's, so that it can take this proxy's place.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Final, Literal

_MS: Final = 1e-3
_KB: Final = 1000.0

Stream = Literal["upstream", "downstream"]


class Cut(ConnectionError):  # noqa: N818 - says what to do to the connection
    """The connection is to end; `hard` with a reset, else as if the other side had hung up."""

    def __init__(self, *, hard: bool) -> None:
        super().__init__()
        self.hard = hard


@dataclass(slots=True)
class Toxic:
    """One toxic on one proxy, and its receipt.

    Of the connections over which something went its way while it was on (`used`): those that its toxicity took
    (`connections`), with so many bytes (`affected`), and those of which one effect was complete (`potent`): a wait was
    waited out, a reset was sent, bytes were swallowed.
    """

    name: str
    kind: str
    stream: Stream = "downstream"
    toxicity: float = 1.0
    attributes: dict[str, int] = field(default_factory=dict)
    used: set[int] = field(default_factory=set)
    connections: set[int] = field(default_factory=set)
    potent: set[int] = field(default_factory=set)
    affected: int = 0  # bytes

    def of(self, attribute: str, default: int = 0) -> int:
        """An attribute, never negative."""
        return max(0, self.attributes.get(attribute, default))


Act = Callable[[Toxic, float, bytes], AsyncIterator[bytes]]


async def _latency(toxic: Toxic, u: float, data: bytes) -> AsyncIterator[bytes]:
    """`latency` ± `jitter`, uniform."""
    await asyncio.sleep(max(0.0, toxic.of("latency") + (2 * u - 1) * toxic.of("jitter")) * _MS)
    yield data


async def _bandwidth(toxic: Toxic, _: float, data: bytes) -> AsyncIterator[bytes]:
    """`rate` KB/s."""
    rate = max(1, toxic.of("rate")) * _KB
    step = max(1, int(rate / 10))
    for i in range(0, len(data), step):
        piece = data[i : i + step]
        await asyncio.sleep(len(piece) / rate)
        yield piece


async def _slicer(toxic: Toxic, _: float, data: bytes) -> AsyncIterator[bytes]:
    """Pieces of `average_size` bytes, `delay` microseconds apart."""
    size = max(1, toxic.of("average_size", 1))
    for i in range(0, len(data), size):
        await asyncio.sleep(toxic.of("delay") * 1e-6)
        yield data[i : i + size]


async def _timeout(toxic: Toxic, _: float, __: bytes) -> AsyncIterator[bytes]:
    """Nothing gets through; the connection ends after `timeout`, or with 0 stays open, dead."""
    if toxic.of("timeout"):
        await asyncio.sleep(toxic.of("timeout") * _MS)
        raise Cut(hard=False)
    return
    yield b""  # makes it a generator


async def _reset_peer(toxic: Toxic, _: float, __: bytes) -> AsyncIterator[bytes]:
    """The connection is reset after `timeout`."""
    await asyncio.sleep(toxic.of("timeout") * _MS)
    raise Cut(hard=True)
    yield b""  # makes it a generator


ACTS: Final[dict[str, Act]] = {
    "latency": _latency,
    "bandwidth": _bandwidth,
    "slicer": _slicer,
    "timeout": _timeout,
    "reset_peer": _reset_peer,
}

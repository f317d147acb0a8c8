"""Bodies that are not what a codec wrote: what a broken proxy, a wrong client or an attacker sends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from simulator.plan import Chunk
from simulator.scenario.disturbances import Garble
from simulator.targets.rows import spans


def garbled(bodies: Sequence[bytes], chunk: Chunk, events: Iterable[tuple[int, Garble]]) -> list[bytes]:
    """One body per request of the chunk; those that an event (its bit, its verb) touches are garbled."""
    made = list(bodies)
    for bit, garble in events:
        for i, (first, _) in enumerate(spans(chunk)):
            if int(chunk.touched[first]) >> bit & 1:
                made[i] = _garbled(made[i], garble)
    return made


def _garbled(body: bytes, garble: Garble) -> bytes:
    if garble.how == "truncated":
        return body[: len(body) // 2]
    if garble.how == "not_json":
        return b"<html><body>" + body[1:-1] + b"</body></html>"
    # Still the same document, so that nothing but its size is wrong.
    return body[:1] + b" " * max(0, garble.size - len(body)) + body[1:]

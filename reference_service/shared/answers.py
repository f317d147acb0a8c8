"""Answers by idempotency key in Redis, for replicas that a proxy may send a retry to in any order.

A claim is a key with a lease, since whoever made it may die; an answer takes its place. Both steps are one command of
Redis each, so that two replicas never both have the same request to answer.

An answer is kept once its decision is written down: another replica may give it a moment later, and what is given has
to be in a log. Whoever dies in between tells the answer from its log when it starts again (`keyed.recall`), and until
then its claim stands: hence the lease.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, cast

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from reference_service.guards.idempotency import Kept

_MS: Final = 1_000_000
# Keep an answer unless there is one already; the claim's lease goes with it.
_KEEP: Final = """
local found = redis.call('GET', KEYS[1])
if found and found:sub(1, 1) == 'a' then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
# Give a claim back, but never an answer.
_DROP: Final = """
local found = redis.call('GET', KEYS[1])
if found and found:sub(1, 1) == 'c' then redis.call('DEL', KEYS[1]) end
return 1
"""
_CLAIM: Final = b"c"
_ANSWER: Final = b"a"
_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(tuple[bytes, int, bytes, int]).decode


class RedisAnswers:
    """A `Store` of all replicas that share a Redis.

    Args:
        client: of a Redis that answers in bytes.
        keep_ns: how long an answer stands.
        lease_ns: how long a claim stands without an answer: longer than a replica takes to start again.
        committed: waits until what was decided so far is in the log, or cannot be.
    """

    __slots__ = ("_client", "_committed", "_drop", "_keep", "_keep_ms", "_lease_ms")

    def __init__(self, client: Redis, keep_ns: int, lease_ns: int, committed: Callable[[], Awaitable[object]]) -> None:
        self._client = client
        self._committed = committed
        self._keep_ms = keep_ns // _MS
        self._lease_ms = max(1, lease_ns // _MS)
        self._keep = client.register_script(_KEEP)
        self._drop = client.register_script(_DROP)

    async def claim(self, scope: bytes, payload: bytes, now_ns: int) -> Kept | None:
        """See `Store`."""
        mine = _CLAIM + _encode((payload, 0, b"", now_ns))
        try:
            found = await self._client.set(_key(scope), mine, nx=True, get=True, px=self._lease_ms)
        except RedisError as error:
            raise OSError(f"the shared store of answers: {type(error).__name__}") from error
        return None if found is None else Kept(*_decode(cast("bytes", found)[1:]))

    async def keep(self, scope: bytes, kept: Kept) -> None:
        """See `Store`."""
        await self._committed()
        try:
            await self._keep(keys=[_key(scope)], args=[_ANSWER + _encode(tuple(kept)), self._keep_ms])
        except RedisError as error:
            raise OSError(f"the shared store of answers: {type(error).__name__}") from error

    async def drop(self, scope: bytes) -> None:
        """See `Store`."""
        try:
            await self._drop(keys=[_key(scope)])
        except RedisError as error:
            raise OSError(f"the shared store of answers: {type(error).__name__}") from error


def _key(scope: bytes) -> bytes:
    return b"answers:" + scope.hex().encode()
